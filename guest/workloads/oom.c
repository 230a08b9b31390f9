// SPDX-License-Identifier: Apache-2.0
/*
 * oom: takes memory until the kernel's OOM killer ends it.
 *
 *   oom [--rounds N] [--pause MS]
 *
 * A round starts a process that takes memory without end, 2 MiB at a time, and that the kernel kills first.
 * Prints "oom: killed at N MiB" each round. If the process ends in any other way, the status is 1. --rounds 0 repeats
 * for ever.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "workload.h"

#define STEP (2 * MIB)

static void usage(void)
{
	fputs("usage: oom [--rounds N] [--pause MS]\n", stderr);
	exit(2);
}

/* The process to be killed. Counts its memory in `taken`, which is shared. */
static void __attribute__((noreturn)) victim(volatile size_t *taken)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1000", 4) != 4)
		fail("oom", "cannot become the first to be killed");
	/* Otherwise this takes very long beside busy processes. */
	setpriority(PRIO_PROCESS, 0, -15);
	for (;;) {
		void *mem = memory_take(STEP, PAGES_DEFAULT);

		if (!mem)
			fail("oom", "cannot map memory");
		memory_touch(mem, STEP);
		*taken += STEP;
	}
}

static void round_run(volatile size_t *taken)
{
	pid_t pid;
	int status;

	*taken = 0;
	pid = fork();
	if (pid == 0)
		victim(taken);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("oom", "cannot start a process and wait for it");
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "oom: the process ended with wait status 0x%x\n",
			(unsigned int)status);
		exit(1);
	}
	printf("oom: killed at %zu MiB\n", *taken / MIB);
}

int main(int argc, char **argv)
{
	enum { ROUNDS = OPT_OWN, PAUSE };
	static const struct option options[] = {
		{"rounds", required_argument, NULL, ROUNDS},
		{"pause", required_argument, NULL, PAUSE},
		{NULL, 0, NULL, 0},
	};
	size_t *taken =
		mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long rounds = 1;
	uint64_t pause_us = 0;
	int bad = 0;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == ROUNDS)
			bad |= count_parse(optarg, 0, &rounds);
		else if (opt == PAUSE)
			bad |= time_parse(optarg, 1e3, &pause_us);
		else
			usage();
	}
	if (bad || optind != argc)
		usage();
	if (taken == MAP_FAILED)
		fail("oom", "cannot map memory");
	for (unsigned long round = 0; !rounds || round < rounds; round++) {
		if (round > 0)
			sleep_us(pause_us);
		round_run(taken);
	}
	return 0;
}
