// SPDX-License-Identifier: Apache-2.0
/* A console device with a driver that keeps to the rules; and one that is saved, and goes on as another. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/unit/fake_vcon.h"

static char data[VC_BUFFER];

static uint16_t config16(unsigned int offset)
{
	uint16_t value;
	virtio_mmio_read(&vc_guest.mmio, VIRTIO_MMIO_CONFIG + offset, &value, sizeof(value));
	return le16toh(value);
}

/* --- one port ------------------------------------------------------------------------------------ */

START_TEST(output_comes_out)
{
	ck_assert(vc_send(VCON_TRANSMIT, "hello", 5));
	ck_assert_uint_eq(vc_host.len[0], 5);
	ck_assert_mem_eq(vc_host.got[0], "hello", 5);
}
END_TEST

START_TEST(input_waits_for_a_driver_and_its_buffers)
{
	vc_teardown();
	vc_setup_single();
	fake_driver_set(&vc_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(vcon_receive(&vcon, 0, (const uint8_t *)"typed early", 11), 11);
	fake_driver_work(&vc_guest);
	vc_start(VC_SIZE, 2);
	vc_give(VCON_RECEIVE, 8);
	ck_assert_int_eq(vc_take(VCON_RECEIVE, data), 8);
	ck_assert_mem_eq(data, "typed ea", 8);
	vc_give(VCON_RECEIVE, 8);
	ck_assert_int_eq(vc_take(VCON_RECEIVE, data), 3);
	ck_assert_mem_eq(data, "rly", 3);
}
END_TEST

/* More than the ring holds, whose end lies in the middle. */
START_TEST(much_input_is_held_back_not_lost)
{
	static uint8_t input[VCON_INPUT + 1000];
	size_t given = 0, got = 0;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i * 7 + i / 256);
	given = vcon_receive(&vcon, 0, input, sizeof(input));
	ck_assert_uint_eq(given, VCON_INPUT);
	ck_assert_uint_eq(vcon_receive(&vcon, 0, input, 1), 0);
	ck_assert_uint_eq(vc_host.asked, 0);
	while (got < sizeof(input)) {
		vc_give(VCON_RECEIVE, 100);
		int len = vc_take(VCON_RECEIVE, data);
		ck_assert_int_gt(len, 0);
		ck_assert_mem_eq(data, input + got, (size_t)len);
		got += (size_t)len;
		given += vcon_receive(&vcon, 0, input + given, sizeof(input) - given);
	}
	ck_assert_uint_ge(vc_host.asked, 1);
	vc_give(VCON_RECEIVE, 100);
	ck_assert_int_eq(vc_take(VCON_RECEIVE, data), -1);
}
END_TEST

/* Both bytes or none. */
START_TEST(a_sysrq_key_comes_whole)
{
	static const uint8_t input[VCON_INPUT - 3];

	ck_assert_int_eq(vcon_sysrq(&vcon, 'h'), 0);
	ck_assert_uint_eq(vcon_receive(&vcon, 0, input, sizeof(input)), sizeof(input));
	ck_assert_int_eq(vcon_sysrq(&vcon, 't'), -EAGAIN);
	vc_give(VCON_RECEIVE, 100);
	ck_assert_int_eq(vc_take(VCON_RECEIVE, data), 100);
	ck_assert_mem_eq(data, "\x0fh", 2);
	ck_assert_int_eq(data[2], 0);
	ck_assert_int_eq(vcon_sysrq(&vcon, 't'), 0);
}
END_TEST

/* The chain goes back when all of it is out, and no byte goes out twice. */
START_TEST(a_host_that_takes_little_gets_all)
{
	struct vring_used_elem used;

	for (unsigned int i = 0; i < 1000; i++)
		data[i] = (char)(i * 3);
	vc_host.room = 10;
	ck_assert(!vc_send(VCON_TRANSMIT, data, 1000));
	ck_assert_uint_eq(vc_host.len[0], 10);
	fake_driver_spurious(&vc_guest);
	ck_assert_uint_eq(vc_host.len[0], 10);
	for (unsigned int i = 0; i < 9; i++) {
		vc_host.room = 100;
		vcon_output_ready(&vcon, 0);
		fake_driver_work(&vc_guest);
		ck_assert(!fake_queue_used(&vc_guest.queue[VCON_TRANSMIT], &used));
	}
	vc_host.room = SIZE_MAX;
	vcon_output_ready(&vcon, 0);
	fake_driver_work(&vc_guest);
	ck_assert(fake_queue_used(&vc_guest.queue[VCON_TRANSMIT], &used));
	ck_assert_uint_eq(vc_host.len[0], 1000);
	ck_assert_mem_eq(vc_host.got[0], data, 1000);
}
END_TEST

START_TEST(the_size_is_in_the_configuration)
{
	ck_assert_uint_eq(config16(0), 0);
	uint32_t generation = fake_driver_get(&vc_guest, VIRTIO_MMIO_CONFIG_GENERATION);
	atomic_store(&vc_guest.interrupts, 0);
	vcon_resize(&vcon, 132, 43);
	ck_assert_uint_eq(config16(0), 132);
	ck_assert_uint_eq(config16(2), 43);
	ck_assert_uint_eq(atomic_load(&vc_guest.interrupts), 1);
	ck_assert_int_eq(atomic_load(&vc_guest.interrupted_by), VIRTIO_INTERRUPT_CONFIG);
	ck_assert_uint_ne(fake_driver_get(&vc_guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	/* The same again is nothing new. */
	vcon_resize(&vcon, 132, 43);
	ck_assert_uint_eq(atomic_load(&vc_guest.interrupts), 1);
}
END_TEST

START_TEST(the_first_input_tells_the_size_again)
{
	vcon_receive(&vcon, 0, (const uint8_t *)"ab", 2);
	vc_give(VCON_RECEIVE, 1);
	ck_assert_int_eq(atomic_exchange(&vc_guest.interrupted_by, 7), VCON_RECEIVE);
	ck_assert_uint_eq(atomic_load(&vc_guest.interrupts), 2);
	vc_give(VCON_RECEIVE, 1);
	ck_assert_uint_eq(atomic_load(&vc_guest.interrupts), 3);
}
END_TEST

START_TEST(a_driver_of_one_port_has_no_other_queues)
{
	ck_assert_uint_eq(vcon.dev.queues, 2);
	ck_assert(!(vcon.dev.features_offered & VC_MULTIPORT));
}
END_TEST

/* --- several ------------------------------------------------------------------------------------- */

START_TEST(ports_are_introduced)
{
	vcon_resize(&vcon, 80, 25);
	vc_control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int i = 0; i < 3; i++)
		vc_told(i, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	const uint16_t size[] = {htole16(80), htole16(25)}, other[] = {htole16(81), htole16(26)};
	vc_control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	vc_told(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "", 0);
	vc_told(0, VIRTIO_CONSOLE_RESIZE, 1, size, sizeof(size));
	vc_told(0, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vcon_set_host_open(&vcon, 1, true);
	vc_control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	vc_told(1, VIRTIO_CONSOLE_PORT_NAME, 1, "first", 5);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vcon_set_host_open(&vcon, 1, false);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	vcon_resize(&vcon, 81, 26);
	vc_told(0, VIRTIO_CONSOLE_RESIZE, 1, other, sizeof(other));
	vc_told_nothing();
	uint32_t ports;
	virtio_mmio_read(&vc_guest.mmio, VIRTIO_MMIO_CONFIG + 4, &ports, sizeof(ports));
	ck_assert_uint_eq(le32toh(ports), 3);
}
END_TEST

START_TEST(each_port_has_its_bytes)
{
	vc_introduce();
	for (unsigned int port = 0; port < 3; port++) {
		char byte = (char)('a' + port);
		ck_assert(vc_send(VC_TX(port), &byte, 1));
		ck_assert_int_eq(vc_host.got[port][0], byte);
		ck_assert_uint_eq(vc_host.len[port], 1);
		vcon_receive(&vcon, port, (const uint8_t *)&byte, 1);
		vc_give(VC_RX(port), 64);
		ck_assert_int_eq(vc_take(VC_RX(port), data), 1);
		ck_assert_int_eq(data[0], byte);
	}
}
END_TEST

START_TEST(a_port_that_is_not_open_gets_its_input_later)
{
	vc_introduce();
	vc_control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	vcon_receive(&vcon, 1, (const uint8_t *)"later", 5);
	vc_give(VC_RX(1), 64);
	ck_assert_int_eq(vc_take(VC_RX(1), data), -1);
	vc_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	ck_assert_int_eq(vc_take(VC_RX(1), data), 5);
}
END_TEST

START_TEST(a_port_that_is_full_holds_up_no_other)
{
	vc_introduce();
	vc_host.room = 0;
	ck_assert(!vc_send(VC_TX(1), "a", 1));
	vc_host.room = SIZE_MAX;
	ck_assert(vc_send(VC_TX(2), "b", 1));
	ck_assert(vc_send(VC_TX(0), "c", 1));
	ck_assert_uint_eq(vc_host.len[1], 0);
}
END_TEST

/* Two programs of the host, one after the other. */
static void two_programs(void)
{
	vc_introduce();
	vcon_set_host_open(&vcon, 1, true);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vcon_receive(&vcon, 1, (const uint8_t *)"first", 5);
	vc_host.room = 2;
	ck_assert(!vc_send(VC_TX(1), "answer", 6));
	vcon_set_host_open(&vcon, 1, false);
}

/* What the first leaves behind is the guest's, and then it hears that the program has left. */
START_TEST(what_a_program_leaves_behind_comes)
{
	two_programs();
	vc_told_nothing();
	vc_give(VC_RX(1), 3);
	ck_assert_int_eq(vc_take(VC_RX(1), data), 3);
	vc_told_nothing();
	vc_give(VC_RX(1), 64);
	ck_assert_int_eq(vc_take(VC_RX(1), data), 2);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
}
END_TEST

/* Neither the rest of what the first sent, nor of what it was sent, is the second's; the guest hears that it left. */
START_TEST(a_program_has_its_own_bytes)
{
	two_programs();
	vcon_set_host_open(&vcon, 1, true);
	vc_host.room = SIZE_MAX;
	vcon_output_ready(&vcon, 1);
	fake_driver_work(&vc_guest);
	ck_assert_uint_eq(vc_host.len[1], 2);
	ck_assert_uint_eq(vcon_receive(&vcon, 1, (const uint8_t *)"second", 6), 0);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	ck_assert_uint_eq(vc_host.asked, 1);
	ck_assert_uint_eq(vcon_receive(&vcon, 1, (const uint8_t *)"second", 6), 6);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vc_give(VC_RX(1), 64);
	ck_assert_int_eq(vc_take(VC_RX(1), data), 6);
	ck_assert_mem_eq(data, "second", 6);
	/* The control: its own chain comes whole. */
	struct vring_used_elem used;
	ck_assert(fake_queue_used(&vc_guest.queue[VC_TX(1)], &used));
	ck_assert(vc_send(VC_TX(1), "whole", 5));
	ck_assert_mem_eq(vc_host.got[1], "anwhole", 7);
	/* One that comes and goes unheard needs no word. */
	vcon_set_host_open(&vcon, 2, true);
	vcon_set_host_open(&vcon, 2, false);
	vc_told_nothing();
}
END_TEST

/* Input that was held back for the driver's sake is asked for, also if a driver starts anew meanwhile. */
START_TEST(a_reset_forgets_who_left)
{
	two_programs();
	vcon_set_host_open(&vcon, 1, true);
	ck_assert_uint_eq(vcon_receive(&vcon, 1, (const uint8_t *)"second", 6), 0);
	vc_start(VC_SIZE | VC_MULTIPORT, 8);
	vc_host.asked = 0;
	vc_control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	ck_assert_uint_eq(vc_host.asked, 1);
	vc_told(1, VIRTIO_CONSOLE_PORT_NAME, 1, "first", 5);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
}
END_TEST

START_TEST(a_reset_forgets_the_driver)
{
	vc_introduce();
	vc_host.room = 1;
	vc_send(VC_TX(1), "abc", 3);
	vc_host.room = SIZE_MAX;
	vc_start(VC_SIZE | VC_MULTIPORT, 8);
	vcon_output_ready(&vcon, 1);
	vc_told_nothing();
	vcon_receive(&vcon, 1, (const uint8_t *)"x", 1);
	vc_give(VC_RX(1), 64);
	ck_assert_int_eq(vc_take(VC_RX(1), data), -1);
	vc_introduce();
	ck_assert_int_eq(vc_take(VC_RX(1), data), 1);
	ck_assert(vc_send(VC_TX(1), "new", 3));
	ck_assert_mem_eq(vc_host.got[1], "anew", 4);
}
END_TEST

START_TEST(a_device_that_is_held_leaves_the_rings_alone)
{
	vc_introduce();
	vcon_hold(&vcon, true);
	ck_assert(!vc_send(VC_TX(0), "a", 1));
	vcon_receive(&vcon, 0, (const uint8_t *)"b", 1);
	vc_give(VC_RX(0), 64);
	ck_assert_int_eq(vc_take(VC_RX(0), data), -1);
	vcon_hold(&vcon, false);
	fake_driver_work(&vc_guest);
	ck_assert_uint_eq(vc_host.len[0], 1);
	ck_assert_int_eq(vc_take(VC_RX(0), data), 1);
}
END_TEST

/* --- snapshots ----------------------------------------------------------------------------------- */

static uint8_t saved[65536];
static size_t saved_len;

static void replug(bool several, const char *first)
{
	virtio_mmio_release(&vc_guest.mmio);
	vcon_release(&vcon);
	vc_plug(several, first);
	vc_guest.deferred = 0;
}

static int restore(size_t len, bool several, const char *first, struct why *why)
{
	struct record_in in = {saved, len, false};

	replug(several, first);
	return virtio_mmio_restore(&vc_guest.mmio, &in, why);
}

START_TEST(a_restored_one_goes_on_where_it_was)
{
	struct why why = {""};
	struct vring_used_elem used;
	const uint16_t size[] = {htole16(90), htole16(30)};

	vc_introduce();
	vc_host.room = 2;
	ck_assert(!vc_send(VC_TX(0), "half", 4));
	vcon_receive(&vcon, 2, (const uint8_t *)"typed", 5);
	vcon_set_host_open(&vcon, 1, true);
	vcon_resize(&vcon, 70, 20); /* where it goes on there may be no terminal */
	saved_len = fake_driver_save(&vc_guest, saved, sizeof(saved));

	ck_assert_msg(restore(saved_len, true, "first", &why) == 0, "%s", why.text);
	vc_host.room = SIZE_MAX;
	fake_driver_work(&vc_guest);
	ck_assert(fake_queue_used(&vc_guest.queue[VC_TX(0)], &used));
	ck_assert_uint_eq(vc_host.len[0], 4);
	ck_assert_mem_eq(vc_host.got[0], "half", 4);
	vc_give(VC_RX(2), 64);
	ck_assert_int_eq(vc_take(VC_RX(2), data), 5);
	/* What is at the other ends is told anew: here nothing is. */
	vc_told(0, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	vc_told(2, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	vc_told_nothing();
	vcon_resize(&vcon, 90, 30);
	vc_told(0, VIRTIO_CONSOLE_RESIZE, 1, size, sizeof(size));
}
END_TEST

/* The terminal is there before the guest. The controls: above, where none is, nothing is told. */
static void restore_at_a_terminal(bool several)
{
	const uint16_t size[] = {htole16(90), htole16(30)};
	struct why why = {""};

	if (several)
		vc_introduce();
	vcon_resize(&vcon, 70, 20);
	uint32_t generation = fake_driver_get(&vc_guest, VIRTIO_MMIO_CONFIG_GENERATION);
	saved_len = fake_driver_save(&vc_guest, saved, sizeof(saved));
	replug(several, "first");
	vcon_resize(&vcon, 90, 30);
	atomic_store(&vc_guest.interrupts, 0);
	struct record_in in = {saved, saved_len, false};
	ck_assert_int_eq(virtio_mmio_restore(&vc_guest.mmio, &in, &why), 0);
	ck_assert_uint_ge(atomic_load(&vc_guest.interrupts), 1);
	ck_assert_uint_ne(fake_driver_get(&vc_guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	ck_assert_uint_eq(config16(0), 90);
	if (several)
		vc_told(0, VIRTIO_CONSOLE_RESIZE, 1, size, sizeof(size));
}

START_TEST(a_restored_one_is_told_the_size_here)
{
	restore_at_a_terminal(true);
}
END_TEST

START_TEST(a_restored_single_one_is_told_the_size_here)
{
	restore_at_a_terminal(false);
}
END_TEST

START_TEST(a_record_of_another_device_is_refused)
{
	struct why why = {""};

	vc_introduce();
	saved_len = fake_driver_save(&vc_guest, saved, sizeof(saved));
	ck_assert_int_ne(restore(saved_len, true, "other", &why), 0);
	ck_assert_ptr_nonnull(strstr(why.text, "other properties"));
	ck_assert_int_ne(restore(saved_len, false, NULL, &why), 0);
	for (size_t len = 0; len < saved_len; len += 7)
		ck_assert_int_ne(restore(len, true, "first", &why), 0);
	ck_assert_int_eq(restore(saved_len, true, "first", &why), 0);
}
END_TEST

Suite *vcon_suite(void);
Suite *vcon_suite(void)
{
	Suite *suite = suite_create("vcon");
	TCase *single = tcase_create("single"), *several = tcase_create("several");

	tcase_add_checked_fixture(single, vc_setup_single, vc_teardown);
	tcase_add_test(single, output_comes_out);
	tcase_add_test(single, input_waits_for_a_driver_and_its_buffers);
	tcase_add_test(single, much_input_is_held_back_not_lost);
	tcase_add_test(single, a_sysrq_key_comes_whole);
	tcase_add_test(single, a_host_that_takes_little_gets_all);
	tcase_add_test(single, the_size_is_in_the_configuration);
	tcase_add_test(single, the_first_input_tells_the_size_again);
	tcase_add_test(single, a_driver_of_one_port_has_no_other_queues);
	suite_add_tcase(suite, single);
	tcase_add_checked_fixture(several, vc_setup, vc_teardown);
	tcase_add_test(several, ports_are_introduced);
	tcase_add_test(several, each_port_has_its_bytes);
	tcase_add_test(several, a_port_that_is_not_open_gets_its_input_later);
	tcase_add_test(several, a_port_that_is_full_holds_up_no_other);
	tcase_add_test(several, what_a_program_leaves_behind_comes);
	tcase_add_test(several, a_program_has_its_own_bytes);
	tcase_add_test(several, a_reset_forgets_who_left);
	tcase_add_test(several, a_reset_forgets_the_driver);
	tcase_add_test(several, a_device_that_is_held_leaves_the_rings_alone);
	tcase_add_test(several, a_restored_one_goes_on_where_it_was);
	tcase_add_test(single, a_restored_single_one_is_told_the_size_here);
	tcase_add_test(several, a_restored_one_is_told_the_size_here);
	tcase_add_test(several, a_record_of_another_device_is_refused);
	suite_add_tcase(suite, several);
	return suite;
}
