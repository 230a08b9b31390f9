// SPDX-License-Identifier: Apache-2.0
/* What a vCPU begins with, by what KVM is asked for. */
#include <check.h>
#include <linux/kvm.h>

#include "tests/unit/fake_ioctl.h"
#include "vmm/arch/arch.h"

#define MSR_IA32_TSC 0x10

static uint64_t tsc;
static unsigned int asked;
static void *khz;

static int kvm(int fd, unsigned long request, void *argument)
{
	struct kvm_msrs *msrs = argument;

	(void)fd;
	switch (request) {
	case KVM_GET_MSRS:
		ck_assert_uint_eq(msrs->nmsrs, 1);
		ck_assert_uint_eq(msrs->entries[0].index, MSR_IA32_TSC);
		msrs->entries[0].data = tsc;
		return 1;
	case KVM_SET_TSC_KHZ:
		asked++;
		khz = argument;
		return 0;
	default:
		return 0;
	}
}

static void teardown(void)
{
	fake_ioctl = NULL;
}

/* KVM has none for it: its TSC stands still. The control: one that goes is left alone. */
START_TEST(a_clock_that_stands_is_asked_for_again)
{
	const struct vm vm = {.kvm = -1, .fd = -1};
	struct arch_platform platform = {.vm = &vm, .cpus = 1};
	const struct vcpu vcpu = {.fd = -1};

	tsc = (uint64_t)_i;
	khz = &tsc;
	fake_ioctl = kvm;
	ck_assert_int_eq(arch_vcpu_init(&platform, &vcpu), 0);
	ck_assert_uint_eq(asked, _i == 0);
	if (_i == 0)
		ck_assert_ptr_null(khz); /* 0: what the kernel knows now */
}
END_TEST

Suite *vcpu_suite(void);
Suite *vcpu_suite(void)
{
	Suite *suite = suite_create("vcpu");
	TCase *tcase = tcase_create("vcpu");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_loop_test(tcase, a_clock_that_stands_is_asked_for_again, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
