// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/lib/fatal.h"
#include "vmm/lib/log.h"

static const int requests[] = {SIGHUP, SIGINT, SIGTERM};

/* Other signals that end a process, except its own faults; real-time signals are added below. */
static const int fatal[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM,
			    SIGPROF, SIGXCPU, SIGIO,   SIGPWR,	SIGSTKFLT};

#define COUNT(list) (sizeof(list) / sizeof(list[0]))

static bool is_request(int number)
{
	for (size_t i = 0; i < COUNT(requests); i++)
		if (requests[i] == number)
			return true;
	return false;
}

static void add_unless_ignored(sigset_t *set, int number)
{
	struct sigaction action;
	if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
		sigaddset(set, number);
}

static sigset_t signals_to_read(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(requests); i++)
		add_unless_ignored(&set, requests[i]);
	for (size_t i = 0; i < COUNT(fatal); i++)
		add_unless_ignored(&set, fatal[i]);
	/* The first real-time signal kicks vCPUs. */
	for (int number = SIGRTMIN + 1; number <= SIGRTMAX; number++)
		add_unless_ignored(&set, number);
	add_unless_ignored(&set, SIGCONT);
	add_unless_ignored(&set, SIGWINCH);
	return set;
}

static void tell(int number)
{
	if (number == SIGXCPU)
		log_error("ebb reached its limit of CPU time (ulimit -t)");
	else
		log_error("ended by signal %d: %s", number, strsignal(number));
}

static void signal_came(void *ctx)
{
	struct signals *signals = ctx;
	struct signalfd_siginfo info;
	if (read(signals->source.fd, &info, sizeof(info)) != sizeof(info))
		return;
	int number = info.ssi_signo;
	if (number == SIGCONT) {
		signals->continued(signals->ctx);
		return;
	}
	if (number == SIGWINCH) {
		signals->resized(signals->ctx);
		return;
	}
	if (!is_request(number) && !signals->fatal) {
		tell(number);
		signals->fatal = number;
	}
	signals->end(signals->ctx);
}

int signals_hold(void)
{
	sigset_t set = signals_to_read();
	int error = -pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (error)
		log_error("cannot block signals: %s", strerror(-error));
	return error;
}

int signals_init(struct signals *signals, struct loop *loop)
{
	sigset_t set = signals_to_read();
	signals->source = (struct loop_source){-1, signal_came, signals};
	signals->fatal = 0;
	fatal_take();
	signals->source.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int error = signals->source.fd < 0 ? -errno : loop_add(loop, &signals->source);
	if (error)
		log_error("cannot watch for signals: %s", strerror(-error));
	return error;
}

void signals_release(struct signals *signals)
{
	if (signals->source.fd >= 0)
		close(signals->source.fd);
	signals->source.fd = -1;
	fatal_give_back();
}

void signals_die(int number)
{
	sigset_t set;
	if (!number)
		return;
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
