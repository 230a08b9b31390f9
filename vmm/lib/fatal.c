// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/fatal.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The signals of faults. The main loop handles SIGINT and similar signals. */
static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGTRAP};

/* SYS_SECCOMP of Linux's siginfo.h, which cannot be included beside the C library's. */
#define REFUSED_CALL 1

/* How long another thread waits for the main thread, which may be held up in the kernel. */
#define PATIENCE_S 10

#define SIGNALS		 (sizeof(signals) / sizeof(signals[0]))
#define CRASH_STACK_SIZE 65536 /* the kernel's frame alone can take 12 KiB */

struct death {
	int signal;
	siginfo_t info;
	const char *thread;
};

/*
 * Writable state of file scope: signal handlers belong to the process, not to a machine in it, and
 * take no argument that could point to this state.
 */
static struct {
	unsigned int users;
	pthread_t main;
	pid_t process, main_tid;
	/* Of the first other thread that dies: @death once it is @told. */
	atomic_flag dying;
	atomic_bool told;
	struct death death;
	struct sigaction before[SIGNALS];
	struct fatal_undo *undo;
	struct fatal_memory *memory;
	char crash_stack[CRASH_STACK_SIZE];
} fatal;

static _Thread_local const char *thread_name;

/* --- in the handler --------------------------------------------------------------------------- */

static void say(const char *text)
{
	struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&pollfd, 1, 0) != 1)
		return;
	ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
	(void)ignored;
}

static void say_fault(const struct death *death)
{
	int signal = death->signal;
	const siginfo_t *info = &death->info;
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
static void say_refused(const struct death *death)
{
	char text[160];
	char *at = stpcpy(text, "ebb: the sandbox refused the system call ");
	at = decimal(at, (unsigned int)death->info.si_syscall);
	at = stpcpy(at, " to the thread ");
	/* The kernel has that of the main thread. */
	at = stpncpy(at, death->thread ? death->thread : program_invocation_short_name, 15);
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

static bool is_refusal(const struct death *death)
{
	return death->signal == SIGSYS && death->info.si_code == REFUSED_CALL;
}

/* On the main thread. */
_Noreturn static void end(const struct death *death)
{
	const siginfo_t *info = &death->info;
	sigset_t last;

	for (struct fatal_undo *undo = fatal.undo; undo; undo = undo->next)
		undo->undo(undo->ctx);

	const struct fatal_memory *memory =
		death->signal == SIGBUS && info->si_code > 0 ? memory_at(info->si_addr) : NULL;
	if (memory) {
		bool broken = info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO;
		say(broken ? "ebb: the host's memory has an error in a page of the guest; see the host's kernel log\n"
			   : memory->why);
		_exit(FATAL_GUEST_FAILED);
	}
	if (is_refusal(death))
		say_refused(death);
	else
		say_fault(death);
	restore_actions(death->signal);
	/* Not every fault repeats by itself. */
	sigemptyset(&last);
	sigaddset(&last, death->signal);
	raise(death->signal);
	sigprocmask(SIG_UNBLOCK, &last, NULL);
	/* Whoever started ebb ignores it. */
	_exit(FATAL_GUEST_FAILED);
}

/* Of several threads that fault at once, the first is told of; all die. Only calls that each thread has. */
_Noreturn static void leave_to_main(const struct death *death)
{
	const struct timespec patience = {PATIENCE_S, 0};
	static const uint32_t never;

	if (!atomic_flag_test_and_set(&fatal.dying)) {
		fatal.death = *death;
		atomic_store(&fatal.told, true);
		syscall(SYS_tgkill, fatal.process, fatal.main_tid, SIGABRT);
	}
	syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, &patience);
	_exit(FATAL_GUEST_FAILED);
}

/*
 * If a second call is refused before the end, ebb dies at once, since SIGSYS has no handler any more: nothing else stops
 * whoever has taken ebb over.
 */
static void crashed(int signal, siginfo_t *info, void *context)
{
	const struct death own = {signal, *info, thread_name};

	(void)context;
	if (!pthread_equal(pthread_self(), fatal.main))
		leave_to_main(&own);
	end(atomic_load(&fatal.told) ? &fatal.death : &own);
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
	sigset_t interrupts;

	/* Each time: it may be a child process of the one before. */
	fatal.main = pthread_self();
	fatal.process = getpid();
	fatal.main_tid = gettid();
	if (fatal.users++ > 0)
		return;
	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGABRT);
	pthread_sigmask(SIG_UNBLOCK, &interrupts, NULL);
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

void fatal_name(const char *name)
{
	thread_name = name;
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
