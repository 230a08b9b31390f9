// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/fatal.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The signals of faults. The main loop handles SIGINT and similar signals. */
static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGTRAP};

/* SYS_SECCOMP of Linux's siginfo.h, which cannot be included beside the C library's. */
#define REFUSED_CALL 1

#define SIGNALS		 (sizeof(signals) / sizeof(signals[0]))
#define CRASH_STACK_SIZE 65536 /* the kernel's frame alone can take 12 KiB */

/*
 * Writable state of file scope: signal handlers belong to the process, not to a machine in it, and
 * take no argument that could point to this state.
 */
static struct {
	unsigned int users;
	atomic_flag dying;
	struct sigaction before[SIGNALS];
	struct fatal_undo *undo;
	struct fatal_memory *memory;
	char crash_stack[CRASH_STACK_SIZE];
} fatal;

/* --- in the handler --------------------------------------------------------------------------- */

static void say(const char *text)
{
	struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&pollfd, 1, 0) != 1)
		return;
	ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
	(void)ignored;
}

static void say_fault(int signal, const siginfo_t *info)
{
	char text[128] = "ebb: died of signal 00", *at = text + strlen(text);
	at[-2] += signal / 10;
	at[-1] += signal % 10;
	if (info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS)) {
		at = stpcpy(at, ", at 0x");
		for (int shift = 60; shift >= 0; shift -= 4)
			*at++ = "0123456789abcdef"[(uintptr_t)info->si_addr >> shift & 15];
	}
	strcpy(at, "\n");
	say(text);
}

static char *decimal(char *at, unsigned int number)
{
	char digits[16], *first = digits + sizeof(digits);
	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	size_t len = (size_t)(digits + sizeof(digits) - first);
	return (char *)mempcpy(at, first, len);
}

/* A filter (vmm/sandbox) has refused a call: ebb has a fault, or a guest has taken it over. */
static void say_refused(const siginfo_t *info)
{
	char text[160], name[16] = "?";
	prctl(PR_GET_NAME, name);
	char *at = stpcpy(text, "ebb: the sandbox refused the system call ");
	at = decimal(at, (unsigned int)info->si_syscall);
	at = stpcpy(at, " to the thread ");
	at = stpcpy(at, name);
	stpcpy(at, ": it has a fault, or a guest has taken it over\n");
	say(text);
}

static const struct fatal_memory *memory_at(const void *address)
{
	const struct fatal_memory *memory = fatal.memory;
	while (memory && (uintptr_t)address - (uintptr_t)memory->start >= memory->len)
		memory = memory->next;
	return memory;
}

static void pause_for_ever(void)
{
	for (;;)
		pause();
}

/*
 * Of @signal, or of all (0). SIGSYS takes no other action than its default once crashed() has begun: the filter that sends it
 * forbids to change it, or whoever has taken ebb over could live on (vmm/sandbox/calls.c).
 */
static void restore_actions(int signal)
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (signals[i] != SIGSYS && (!signal || signals[i] == signal))
			sigaction(signals[i], &fatal.before[i], NULL);
}

static void crashed(int signal, siginfo_t *info, void *context)
{
	(void)context;
	bool refused = signal == SIGSYS && info->si_code == REFUSED_CALL;
	/*
	 * If several threads fault at once, only one runs the undo functions; all die. If a second call is refused meanwhile,
	 * ebb dies before they are done, since SIGSYS has no handler any more: nothing else stops whoever has taken ebb over.
	 */
	if (atomic_flag_test_and_set(&fatal.dying))
		pause_for_ever();
	for (struct fatal_undo *undo = fatal.undo; undo; undo = undo->next)
		undo->undo(undo->ctx);

	const struct fatal_memory *memory =
		signal == SIGBUS && info->si_code > 0 ? memory_at(info->si_addr) : NULL;
	if (memory) {
		bool broken = info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO;
		say(broken ? "ebb: the host's memory has an error in a page of the guest; see the host's kernel log\n"
			   : memory->why);
		_exit(FATAL_GUEST_FAILED);
	}
	if (refused)
		say_refused(info);
	else
		say_fault(signal, info);
	restore_actions(signal);
	/* Not every fault repeats by itself; this raises it again once the handler has returned. */
	raise(signal);
}

/* --- outside ---------------------------------------------------------------------------------- */

/* The main thread may have run out of stack. Other threads run the handler on their own stacks. */
static void give_crash_stack(void)
{
	stack_t stack = {.ss_sp = fatal.crash_stack, .ss_size = sizeof(fatal.crash_stack)};
	stack_t before;
	if (sigaltstack(NULL, &before) == 0 && before.ss_flags & SS_DISABLE)
		sigaltstack(&stack, NULL);
}

void fatal_take(void)
{
	struct sigaction action = {.sa_sigaction = crashed};
	if (fatal.users++ > 0)
		return;
	/* Block all signals: a fault within the handler then kills the process at once. */
	sigfillset(&action.sa_mask);
	give_crash_stack();
	for (size_t i = 0; i < SIGNALS; i++) {
		action.sa_flags = SA_SIGINFO | SA_ONSTACK;
		if (signals[i] == SIGSYS)
			action.sa_flags |= (int)SA_RESETHAND;
		sigaction(signals[i], &action, &fatal.before[i]);
	}
}

void fatal_give_back(void)
{
	if (fatal.users > 0 && --fatal.users == 0)
		restore_actions(0);
}

void fatal_undo_remove(struct fatal_undo *undo)
{
	struct fatal_undo **at = &fatal.undo;
	while (*at && *at != undo)
		at = &(*at)->next;
	if (*at)
		*at = undo->next;
}

void fatal_undo_add(struct fatal_undo *undo)
{
	fatal_undo_remove(undo);
	undo->next = fatal.undo;
	fatal.undo = undo;
}

void fatal_memory_remove(struct fatal_memory *memory)
{
	struct fatal_memory **at = &fatal.memory;
	while (*at && *at != memory)
		at = &(*at)->next;
	if (*at)
		*at = memory->next;
}

void fatal_memory_add(struct fatal_memory *memory)
{
	fatal_memory_remove(memory);
	memory->next = fatal.memory;
	fatal.memory = memory;
}
