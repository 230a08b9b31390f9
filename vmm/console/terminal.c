// SPDX-License-Identifier: Apache-2.0
#include "vmm/console/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/lib/clock.h"

/* What a crash raises. SIGINT and its like are the main loop's. */
static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};

/* See terminal_discard_answers(). */
#define ANSWER_MS  250
#define ANSWERS_MS 1000

#define FATAL_SIGNALS	 (sizeof(fatal_signals) / sizeof(fatal_signals[0]))
#define CRASH_STACK_SIZE 65536 /* the kernel's frame alone can take 12 KiB */

/*
 * The one writable state of file scope in ebb: a terminal and its signal handlers belong to the
 * process, not to a machine in it, and a handler is given nothing else to find them by.
 */
static struct {
	volatile sig_atomic_t raw; /* fd and cooked are good, the handlers are in place */
	int fd;
	struct termios cooked; /* as it was found */
	struct sigaction before[FATAL_SIGNALS];
	bool at_exit;
	char crash_stack[CRASH_STACK_SIZE];
} terminal;

bool terminal_is_ours(int fd)
{
	pid_t foreground = tcgetpgrp(fd);
	/* Where job control does not reach us (init's console, a serial line), nobody is before us.
	 */
	return foreground < 0 ? errno == ENOTTY && isatty(fd) : foreground == getpgrp();
}

/* Safe in a signal handler. */
static void put_back(void)
{
	if (terminal.raw && terminal_is_ours(terminal.fd))
		tcsetattr(terminal.fd, TCSANOW, &terminal.cooked);
}

static void crashed(int signal, siginfo_t *info, void *context)
{
	(void)context;
	put_back();
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		if (fatal_signals[i] == signal)
			sigaction(signal, &terminal.before[i], NULL);
	/* A fault comes again by itself, with all that a core dump tells; what was sent does not.
	 */
	if (info->si_code <= 0)
		raise(signal);
}

/* The main thread's stack may be what has run out. Other threads run the handler on their own. */
static void give_crash_stack(void)
{
	stack_t stack = {.ss_sp = terminal.crash_stack, .ss_size = sizeof(terminal.crash_stack)};
	stack_t before;
	if (sigaltstack(NULL, &before) == 0 && before.ss_flags & SS_DISABLE)
		sigaltstack(&stack, NULL);
}

static void take_fatal_signals(void)
{
	struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	give_crash_stack();
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &action, &terminal.before[i]);
}

int terminal_raw(int fd)
{
	if (terminal.raw && terminal.fd != fd)
		return -EBUSY;
	if (!terminal_is_ours(fd))
		return -ENOTTY;
	if (!terminal.raw) {
		if (tcgetattr(fd, &terminal.cooked) < 0)
			return -errno;
		terminal.fd = fd;
		take_fatal_signals();
		terminal.raw = 1;
		if (!terminal.at_exit)
			terminal.at_exit = atexit(terminal_restore) == 0;
	}

	/* Output processing stays: our own lines end in a bare newline. */
	struct termios raw = terminal.cooked;
	raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(fd, TCSANOW, &raw) < 0 ? -errno : 0;
}

void terminal_discard_answers(void)
{
	struct pollfd pollfd = {.fd = terminal.fd, .events = POLLIN};
	uint64_t limit = clock_ns() + ANSWERS_MS * NS_PER_MS;
	/* Not tcdrain(): it waits without end for a terminal whose other side nobody reads. */
	while (terminal.raw && terminal_is_ours(terminal.fd) && clock_ns() < limit &&
	       poll(&pollfd, 1, ANSWER_MS) == 1 && !(pollfd.revents & (POLLHUP | POLLERR)))
		tcflush(terminal.fd, TCIFLUSH);
}

void terminal_restore(void)
{
	if (!terminal.raw)
		return;
	if (terminal_is_ours(terminal.fd))
		tcflush(terminal.fd, TCIFLUSH);
	put_back();
	terminal.raw = 0;
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &terminal.before[i], NULL);
}
