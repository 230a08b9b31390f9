// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/sandbox/calls.h"
#include "vmm/sandbox/capabilities.h"
#include "vmm/sandbox/filter.h"
#include "vmm/sandbox/shorten.h"

/* Names of threads as they are given at their start; a device's is that of its kind. */
START_TEST(test_kinds)
{
	ck_assert_int_eq(thread_kind("main"), THREAD_MAIN);
	ck_assert_int_eq(thread_kind("restore"), THREAD_RESTORE);
	ck_assert_int_eq(thread_kind("vcpu0"), THREAD_VCPU);
	ck_assert_int_eq(thread_kind("vcpu253"), THREAD_VCPU);
	ck_assert_int_eq(thread_kind("balloon"), THREAD_BALLOON);
	ck_assert_int_eq(thread_kind("measure"), THREAD_MEASURE);
	ck_assert_int_eq(thread_kind("snapshot"), THREAD_SNAPSHOT);
	ck_assert_int_eq(thread_kind("blk"), THREAD_BLK);
	ck_assert_int_eq(thread_kind("net"), THREAD_NET);
	ck_assert_int_eq(thread_kind("fs"), THREAD_FS);
	ck_assert_int_eq(thread_kind("rng"), THREAD_RNG);
	ck_assert_int_eq(thread_kind("vsock"), THREAD_VSOCK);
	ck_assert_int_eq(thread_kind("console"), THREAD_CONSOLE);
	ck_assert_int_eq(thread_kind("keeper"), THREAD_KEEPER);
	/* A new kind of thread has to come into the table. */
	ck_assert_int_eq(thread_kind("new"), -ENOENT);
	ck_assert_int_eq(thread_kind(""), -ENOENT);
	ck_assert_int_eq(thread_kind("ball"), -ENOENT);
}
END_TEST

/* The keeper connects to guests by their names, and removes those of dead ones. */
static bool is_keepers(const struct call *call)
{
	return call->kinds == 1U << THREAD_KEEPER &&
	       (call->number == SCMP_SYS(openat) || call->number == SCMP_SYS(socket) ||
		call->number == SCMP_SYS(connect));
}

/* Only to load the filter of "main": one more never permits anything. */
static bool is_restores(const struct call *call)
{
	/* Without flags: no listener, and no filter for other threads. */
	return call->kinds == 1U << THREAD_RESTORE && call->number == SCMP_SYS(seccomp) &&
	       call->checks == 2 && call->check[1].argument == 1 && call->check[1].value == 0;
}

/* Calls by which an attacker reaches beyond what is open; none may be in any row of a guest's threads. */
START_TEST(test_never)
{
	static const int never[] = {
		SCMP_SYS(open),	     SCMP_SYS(openat),	     SCMP_SYS(openat2),
		SCMP_SYS(execve),    SCMP_SYS(execveat),     SCMP_SYS(fork),
		SCMP_SYS(vfork),     SCMP_SYS(clone),	     SCMP_SYS(clone3),
		SCMP_SYS(socket),    SCMP_SYS(connect),	     SCMP_SYS(bind),
		SCMP_SYS(ptrace),    SCMP_SYS(kill),	     SCMP_SYS(tkill),
		SCMP_SYS(unlink),    SCMP_SYS(rename),	     SCMP_SYS(process_vm_readv),
		SCMP_SYS(mount),     SCMP_SYS(unshare),	     SCMP_SYS(process_vm_writev),
		SCMP_SYS(setns),     SCMP_SYS(bpf),	     SCMP_SYS(io_uring_setup),
		SCMP_SYS(shmat),     SCMP_SYS(pidfd_open),   SCMP_SYS(pidfd_getfd),
		SCMP_SYS(seccomp),   SCMP_SYS(memfd_create), SCMP_SYS(userfaultfd),
		SCMP_SYS(setrlimit), SCMP_SYS(prlimit64),    SCMP_SYS(perf_event_open),
	};
	for (size_t i = 0; i < calls_count; i++)
		for (size_t n = 0; n < sizeof(never) / sizeof(never[0]); n++)
			ck_assert(calls[i].number != never[n] || is_keepers(&calls[i]) ||
				  is_restores(&calls[i]));
}
END_TEST

/* A thread that has read a snapshot goes on under both filters. */
START_TEST(test_restore_has_mains)
{
	const unsigned int main_thread = 1U << THREAD_MAIN, restore = 1U << THREAD_RESTORE;
	unsigned int more = 0;

	for (size_t i = 0; i < calls_count; i++) {
		ck_assert(!(calls[i].kinds & main_thread) || calls[i].kinds & restore);
		more += calls[i].kinds == restore;
	}
	ck_assert_uint_gt(more, 0);
}
END_TEST

/* Calls that do something else by their arguments are in no row without a check of them. */
START_TEST(test_checked)
{
	static const int checked[] = {
		SCMP_SYS(ioctl),	   SCMP_SYS(mmap),
		SCMP_SYS(mprotect),	   SCMP_SYS(madvise),
		SCMP_SYS(fcntl),	   SCMP_SYS(prctl),
		SCMP_SYS(process_madvise), SCMP_SYS(unlinkat),
		SCMP_SYS(newfstatat),	   SCMP_SYS(io_uring_register),
		SCMP_SYS(socket),	   SCMP_SYS(openat),
		SCMP_SYS(seccomp),	   SCMP_SYS(rt_sigaction),
	};
	for (size_t i = 0; i < calls_count; i++)
		for (size_t n = 0; n < sizeof(checked) / sizeof(checked[0]); n++)
			ck_assert(calls[i].number != checked[n] || calls[i].checks > 0);
}
END_TEST

/* What threads need that wait for each other, or reset a device while a request is under way: no test's guest does always. */
START_TEST(test_rare)
{
	static const struct {
		enum thread_kind kind;
		int call;
	} rare[] = {
		{THREAD_VCPU, SCMP_SYS(restart_syscall)},     /* fatal.c, after SIGSTOP */
		{THREAD_MAIN, SCMP_SYS(clock_nanosleep)},     /* virtio_core_stop() */
		{THREAD_SNAPSHOT, SCMP_SYS(clock_nanosleep)}, /* virtio_core_freeze() */
		{THREAD_BLK, SCMP_SYS(io_uring_enter)},	      /* blk_flight_drain() */
		{THREAD_BLK, SCMP_SYS(lseek)},		      /* … of a flush: image_flushed() */
	};
	bool given = false;

	for (size_t i = 0; i < calls_count; i++)
		given |= calls[i].number == rare[_i].call && calls[i].kinds & 1U << rare[_i].kind &&
			 !calls[i].checks;
	ck_assert(given);
}
END_TEST

/* A call is counted once, whatever arguments it may have. */
static bool is_first(size_t row, unsigned int kinds)
{
	for (size_t i = 0; i < row; i++)
		if (calls[i].number == calls[row].number && calls[i].kinds & kinds)
			return false;
	return true;
}

#ifdef __riscv
#define ENTROPY 1 /* getrandom(2), for a register */
#else
#define ENTROPY 0
#endif

/* Each kind's calls, and the ioctls among them, on x86_64: docs/security.md has these figures. Others have no more calls. */
START_TEST(test_count)
{
	static const struct {
		unsigned int kinds, calls, ioctls;
	} have[] = {
		{1U << THREAD_MAIN, 47, 26},
		{1U << THREAD_RESTORE, 51, 40},
		{1U << THREAD_VCPU, 11 + ENTROPY, 4},
		{1U << THREAD_BALLOON, 34, 1},
		{1U << THREAD_BLK, 41, 2},
		{1U << THREAD_NET, 38, 15},
		{1U << THREAD_FS, 35, 1},
		{1U << THREAD_RNG, 32, 1},
		{1U << THREAD_PMEM, 33, 1},
		{1U << THREAD_VSOCK, 38, 12},
		{1U << THREAD_CONSOLE, 34, 1},
		{1U << THREAD_MEASURE, 33, 1},
		{1U << THREAD_SNAPSHOT, 36, 18},
		{1U << THREAD_KEEPER, 49, 0},
		{(1U << THREAD_KEEPER) - 1, 58, 62}, /* all of a guest's */
	};
	unsigned int number = 0, ioctls = 0;

	ck_assert_uint_eq(sizeof(have) / sizeof(have[0]), THREAD_KINDS + 1);
	for (size_t i = 0; i < calls_count; i++) {
		if (calls[i].number < 0 || !(calls[i].kinds & have[_i].kinds))
			continue;
		number += is_first(i, have[_i].kinds);
		ioctls += calls[i].number == SCMP_SYS(ioctl);
	}
	ck_assert_uint_le(number, have[_i].calls);
#ifdef __x86_64__
	ck_assert_uint_eq(number, have[_i].calls);
	ck_assert_uint_eq(ioctls, have[_i].ioctls);
#endif
}
END_TEST

/* How often a program compares with @value. */
static unsigned int compares(const struct sock_filter *step, unsigned int steps, uint32_t value)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < steps; i++)
		n += step[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && step[i].k == value;
	return n;
}

START_TEST(test_filters)
{
	/* No constant of any row is one of these; a PID of ours may be. */
	const int pid = 1234567, directory = 12345;

	for (int kind = 0; kind < THREAD_KINDS; kind++) {
		struct sock_filter step[FILTER_STEPS_MAX];
		unsigned int steps = filter_program(kind, pid, directory, step);
		ck_assert_uint_gt(steps, 20);
		/* Room for more rows. */
		ck_assert_uint_lt(steps, FILTER_STEPS_MAX * 3 / 4);
		ck_assert_int_eq(BPF_CLASS(step[steps - 1].code), BPF_RET);
		/* What is known only now is in its place, once. */
		ck_assert_uint_eq(compares(step, steps, CALL_PID), 0);
		ck_assert_uint_eq(compares(step, steps, CALL_DIRECTORY), 0);
		ck_assert_uint_eq(compares(step, steps, pid), 1);
		ck_assert_uint_eq(compares(step, steps, directory),
				  kind == THREAD_MAIN || kind == THREAD_RESTORE);
	}
}
END_TEST

/* --- what the programs answer -------------------------------------------------------------------- */

/* The kernel's machine, as far as they need it. */
static uint32_t answer(const struct sock_filter *step, unsigned int steps,
		       const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned int i = 0; i < steps; i++) {
		uint32_t k = step[i].k;
		switch (step[i].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			ck_assert(k % 4 == 0 && k < sizeof(*data));
			memcpy(&a, (const uint8_t *)data + k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += a == k ? step[i].jt : step[i].jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			i += a > k ? step[i].jt : step[i].jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			i += a >= k ? step[i].jt : step[i].jf;
			break;
		case BPF_RET | BPF_K:
			return k;
		default:
			ck_abort_msg("step %u has the code %#x", i, step[i].code);
		}
	}
	ck_abort_msg("it does not end");
}

/* The table's answer. */
static bool is_allowed(enum thread_kind kind, const struct seccomp_data *data)
{
	bool allowed = false;

	for (size_t i = 0; i < calls_count; i++) {
		bool fits = calls[i].number == data->nr && calls[i].kinds & 1U << kind;
		for (unsigned int n = 0; n < calls[i].checks; n++) {
			const struct call_check *check = &calls[i].check[n];
			fits &= ((uint32_t)data->args[check->argument] & check->mask) ==
				check->value;
		}
		allowed |= fits;
	}
	return allowed;
}

static unsigned int same(enum thread_kind kind, const struct sock_filter *step, unsigned int steps,
			 const struct seccomp_data *data)
{
	uint32_t got = answer(step, steps, data);
	bool allowed = is_allowed(kind, data);

	ck_assert_msg((got == SECCOMP_RET_ALLOW) == allowed, "kind %d, call %d: %#x", kind,
		      data->nr, got);
	return allowed;
}

/* Each kind's program permits what the table does, by any number, and by arguments that fit a row, or do not by a bit. */
START_TEST(test_programs)
{
	const enum thread_kind kind = (enum thread_kind)_i;
	struct sock_filter step[FILTER_STEPS_MAX];
	/* As the table has them. */
	unsigned int steps = filter_program(kind, CALL_PID, CALL_DIRECTORY, step), allowed = 0;
	struct seccomp_data data = {.arch = seccomp_arch_native()};

	for (data.nr = 0; data.nr < 1000; data.nr++)
		allowed += same(kind, step, steps, &data);
	ck_assert_uint_gt(allowed, 5);
	for (size_t i = 0; i < calls_count; i++) {
		const struct call *call = &calls[i];
		data.nr = call->number;
		for (unsigned int n = 0; n < 6; n++)
			data.args[n] = 0xfedcba9800000000ULL; /* the upper half does not count */
		for (unsigned int n = 0; n < call->checks; n++)
			data.args[call->check[n].argument] |= call->check[n].value;
		if (call->number >= 0)
			same(kind, step, steps, &data);
		for (unsigned int bit = 0; bit < 32 * call->checks && call->number >= 0; bit++) {
			__u64 *argument = &data.args[call->check[bit / 32].argument];
			*argument ^= 1ULL << bit % 32;
			same(kind, step, steps, &data);
			*argument ^= 1ULL << bit % 32;
		}
	}
	data.arch ^= 1;
	ck_assert_uint_eq(answer(step, steps, &data), SECCOMP_RET_KILL_PROCESS);
}
END_TEST

#define LOAD(at)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define AND(k)	    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)
#define IS(k, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, t, f)
#define RETURN(k)   BPF_STMT(BPF_RET | BPF_K, k)

/* What is always true is left out, and one call comes first; what looks like it stays. */
START_TEST(test_shorten)
{
	const struct sock_filter program[] = {LOAD(0),	   IS(7, 6, 0), IS(5, 0, 10), LOAD(20),
					      AND(0),	   IS(0, 0, 7), LOAD(16),     IS(9, 6, 5),
					      LOAD(28),	   AND(1),	IS(0, 0, 2),  LOAD(24),
					      IS(3, 1, 0), RETURN(0),	RETURN(1)};
	struct sock_filter step[sizeof(program) / sizeof(program[0]) + 1];
	struct seccomp_data data = {.nr = 7, .args = {0, 3}};

	memcpy(step, program, sizeof(program));
	ck_assert_int_eq(shorten(step, 15, SHORTEN_NONE), 12);
	ck_assert_uint_eq(step[3].code, BPF_LD | BPF_W | BPF_ABS);
	ck_assert_uint_eq(step[3].k, 16);
	ck_assert_uint_eq(answer(step, 12, &data), answer(program, 15, &data));
	memcpy(step, program, sizeof(program));
	ck_assert_int_eq(shorten(step, 15, 5), 13);
	ck_assert_uint_eq(step[1].k, 5);
	for (data.nr = 4; data.nr < 8; data.nr++)
		for (data.args[0] = 8; data.args[0] < 10; data.args[0]++)
			ck_assert_uint_eq(answer(step, 13, &data), answer(program, 15, &data));
	/* No such call, and a jump that leads out. */
	memcpy(step, program, sizeof(program));
	ck_assert_int_eq(shorten(step, 15, 6), -EINVAL);
	step[12].jt = 9;
	ck_assert_int_eq(shorten(step, 15, SHORTEN_NONE), -EINVAL);
}
END_TEST

/* A vCPU's every exit is an ioctl: no other number is compared before. */
START_TEST(test_ioctl_is_first)
{
	struct sock_filter step[FILTER_STEPS_MAX];
	unsigned int steps = filter_program(THREAD_VCPU, 1, 1, step), i = steps - 1;

	while (i > 0 && !(step[i].code == (BPF_LD | BPF_W | BPF_ABS) && step[i].k == 0))
		i--;
	ck_assert_uint_eq(step[i + 1].code, BPF_JMP | BPF_JEQ | BPF_K);
	ck_assert_int_eq(step[i + 1].k, SCMP_SYS(ioctl));
}
END_TEST

/* A user without privileges has all in a user namespace of its own. */
static bool have_all(void)
{
	return capabilities_left() || unshare(CLONE_NEWUSER) == 0;
}

static void set_capabilities(uint32_t effective, uint32_t permitted, uint32_t inheritable)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[_LINUX_CAPABILITY_U32S_3] = {
		{effective, permitted, inheritable}};

	ck_assert_int_eq(syscall(SYS_capset, &head, set), 0);
}

/* One in any of the sets is left, one that is not in use, too; after the drop none is, and none comes back. */
START_TEST(test_capabilities)
{
	const uint32_t one = 1U << CAP_CHOWN;

	if (!have_all()) {
		printf("SKIPPED: test_capabilities: this host permits no user namespace\n");
		return;
	}
	ck_assert(capabilities_left());
	if (_i == 0)
		set_capabilities(one, one, 0);
	else if (_i == 1)
		set_capabilities(0, one, 0);
	else if (_i == 2)
		set_capabilities(0, 0, one);
	ck_assert(capabilities_left());
	ck_assert_int_eq(capabilities_drop(), 0);
	ck_assert(!capabilities_left());
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct again[_LINUX_CAPABILITY_U32S_3] = {{one, one, 0}};
	ck_assert_int_eq(syscall(SYS_capset, &head, again), -1);
}
END_TEST

Suite *sandbox_suite(void);
Suite *sandbox_suite(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tc = tcase_create("calls");
	tcase_add_test(tc, test_kinds);
	tcase_add_test(tc, test_never);
	tcase_add_test(tc, test_restore_has_mains);
	tcase_add_test(tc, test_checked);
	tcase_add_loop_test(tc, test_rare, 0, 5);
	tcase_add_loop_test(tc, test_count, 0, THREAD_KINDS + 1);
	tcase_add_test(tc, test_filters);
	tcase_add_loop_test(tc, test_programs, 0, THREAD_KINDS);
	tcase_add_test(tc, test_ioctl_is_first);
	tcase_add_test(tc, test_shorten);
	tcase_add_loop_test(tc, test_capabilities, 0, 4);
	suite_add_tcase(suite, tc);
	return suite;
}
