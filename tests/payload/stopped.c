// SPDX-License-Identifier: Apache-2.0
/*
 * A guest with kvm-clock, which is to be told when its vCPU was stopped: its watchdogs would take
 * the gap for a fault of its own. What stops it is the host's side: test_stopped.py
 *
 * Sources: Documentation/virt/kvm/x86/{cpuid,msr}.rst; arch/x86/include/asm/pvclock-abi.h
 */
#include "payload.h"

#define CPUID_SIGNATURE	    0x40000000
#define CPUID_FEATURES	    0x40000001
#define FEATURE_CLOCK	    (1U << 3)
#define MSR_SYSTEM_TIME	    0x4b564d01
#define SYSTEM_TIME_ENABLED 1
#define CLOCK_GUEST_STOPPED 0x02
#define ROUNDS		    2
#define TURNS		    10000000
#define EXITS		    200

struct system_time {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad2[2];
};
_Static_assert(sizeof(struct system_time) == 32, "as the ABI has it");
_Static_assert(offsetof(struct system_time, flags) == 29, "as the ABI has it");

/* One for each CPU, which is alone to change its flags; its CPU clears them when it is asked to. */
static volatile struct cpu_clock {
	struct system_time time;
	bool clear;
} clocks[2] __attribute__((aligned(64)));
static bool offered;

static void cpuid(uint32_t leaf, uint32_t *eax, uint32_t *ebx)
{
	uint32_t ecx = 0, edx;
	__asm__ volatile("cpuid" : "=a"(*eax), "=b"(*ebx), "+c"(ecx), "=d"(edx) : "0"(leaf));
}

/* MSRs are ring 0's; and where a KVM runs ring 3 natively, CPUID is the host's there. */
void ring0_hook(unsigned int cpu)
{
	uint32_t features, signature;

	cpuid(CPUID_SIGNATURE, &features, &signature);
	if (signature != 0x4b4d564b) /* "KVMK", of KVMKVMKVM */
		return;
	cpuid(CPUID_FEATURES, &features, &signature);
	offered = features & FEATURE_CLOCK;
	if (offered)
		__asm__ volatile("wrmsr" ::"c"(MSR_SYSTEM_TIME),
				 "a"((uint32_t)(uintptr_t)&clocks[cpu].time | SYSTEM_TIME_ENABLED),
				 "d"(0)
				 : "memory");
}

static bool was_stopped(unsigned int cpu)
{
	return clocks[cpu].time.flags & CLOCK_GUEST_STOPPED;
}

/* Once seen, the flag is the guest's to clear: KVM keeps it until then. */
static void forget(unsigned int cpu)
{
	clocks[cpu].time.flags &= ~CLOCK_GUEST_STOPPED;
	clocks[cpu].clear = false;
}

/* Without it no flag would ever come, and the control would pass for nothing. */
static void check_clock(void)
{
	CHECK(offered, "this KVM offers no kvm-clock: CPUID %x", CPUID_FEATURES);
	CHECK(clocks[0].time.version && clocks[0].time.tsc_to_system_mul,
	      "KVM does not fill in the clock");
}

/* No device is used while it looks: a vCPU that comes back from a slow one may be told, too. */
static void test_told(void)
{
	check_clock();
	for (unsigned int round = 0; round < ROUNDS && !test_failed(); round++) {
		print("wait ready\n");
		forget(0);
		WAIT_FOR(was_stopped(0), "the guest was stopped, and not told");
		wait_for_host("stopped seen");
	}
}

static void clear_when_asked(void)
{
	for (;;)
		if (clocks[1].clear)
			forget(1);
}

/* Each CPU has a watchdog of its own. */
static void test_both_told(void)
{
	check_clock();
	CHECK(cpu1_run(clear_when_asked), "the second CPU does not start");
	for (unsigned int round = 0; round < ROUNDS && !test_failed(); round++) {
		clocks[1].clear = true;
		WAIT_FOR(!clocks[1].clear, "the second CPU does not run");
		print("wait ready\n");
		forget(0);
		WAIT_FOR(was_stopped(0) && was_stopped(1),
			 "stopped, and told: %u, the second CPU: %u", was_stopped(0),
			 was_stopped(1));
		wait_for_host("stopped seen");
	}
}

/* Nor by what is no stop: a busy host may hold one vCPU up in a device, but not each time. */
static void test_not_told(void)
{
	unsigned int told = 0;

	check_clock();
	forget(0);
	for (unsigned int turn = 0; turn < TURNS; turn++)
		CHECK(!was_stopped(0), "told of a stop that was none, in turn %u", turn);
	for (unsigned int exit = 0; exit < EXITS; exit++) {
		host_sent();
		told += was_stopped(0);
		forget(0);
	}
	CHECK(told < EXITS / 10, "told of a stop after %u exits of %u", told, EXITS);
}

const struct test tests[] = {
	{"told", test_told},
	{"both-told", test_both_told},
	{"not-told", test_not_told},
	{0},
};
