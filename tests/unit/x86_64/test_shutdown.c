// SPDX-License-Identifier: Apache-2.0
/* When a triple fault is a reset: what the interrupt controllers tell of the kernel. */
#include <check.h>
#include <string.h>

#include "vmm/arch/x86_64/shutdown.h"

static struct kvm_pic_state pic[2];
static struct kvm_ioapic_state ioapic;

/* As KVM makes them. */
static void setup(void)
{
	memset(pic, 0, sizeof(pic));
	memset(&ioapic, 0, sizeof(ioapic));
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		ioapic.redirtbl[i].fields.mask = 1;
}

START_TEST(an_untouched_controller_is_a_broken_kernels)
{
	ck_assert(!shutdown_after_interrupts(pic, &ioapic));
}
END_TEST

START_TEST(masks_alone_tell_nothing)
{
	pic[0].imr = pic[1].imr = 0xff;
	ck_assert(!shutdown_after_interrupts(pic, &ioapic));
}
END_TEST

START_TEST(vectors_of_either_8259)
{
	pic[_i].irq_base =
		0x30; /* and no line of the I/O APIC: it is switched off before a reset */
	ck_assert(shutdown_after_interrupts(pic, &ioapic));
}
END_TEST

START_TEST(a_line_of_the_io_apic)
{
	ioapic.redirtbl[_i].fields.mask = 0;
	ck_assert(shutdown_after_interrupts(pic, &ioapic));
}
END_TEST

Suite *shutdown_suite(void);
Suite *shutdown_suite(void)
{
	Suite *suite = suite_create("shutdown");
	TCase *tcase = tcase_create("shutdown");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, an_untouched_controller_is_a_broken_kernels);
	tcase_add_test(tcase, masks_alone_tell_nothing);
	tcase_add_loop_test(tcase, vectors_of_either_8259, 0, 2);
	tcase_add_loop_test(tcase, a_line_of_the_io_apic, 0, KVM_IOAPIC_NUM_PINS);
	suite_add_tcase(suite, tcase);
	return suite;
}
