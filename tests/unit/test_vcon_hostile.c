// SPDX-License-Identifier: Apache-2.0
/* A driver of the console device that breaks the rules, or asks without end: it harms itself. */
#include <check.h>
#include <endian.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/unit/fake_vcon.h"

static char data[VC_BUFFER];

static void add(unsigned int queue, struct gpa_range buffer, unsigned int readable)
{
	fake_queue_add(&vc_guest.queue[queue], &buffer, 1, readable);
	fake_driver_kick(&vc_guest, queue);
}

/* Chains that the queue cannot have; input waits for those that are for it. */
static const struct {
	unsigned int queue;
	struct gpa_range buffer;
	unsigned int readable;
} wrong[] = {
	{VC_RX(0), {BLOCKS_GPA, 8}, 1},
	{VC_RX(1), {LOW_END, 8}, 0},
	{VC_RX(1), {UINT64_MAX - 3, 8}, 0},
	{VC_TX(0), {BLOCKS_GPA, 8}, 0},
	{VC_TX(1), {LOW_END - 4, 8}, 1},
	{VC_TX(2), {HIGH_END, UINT32_MAX}, 1},
	{VCON_CONTROL_FROM_GUEST, {BLOCKS_GPA, 7}, 1},
	{VCON_CONTROL_FROM_GUEST, {BLOCKS_GPA, 8}, 0},
	{VCON_CONTROL_FROM_GUEST, {LOW_END, 8}, 1},
	{VCON_CONTROL_TO_GUEST, {BLOCKS_GPA, 8}, 1},
	{VCON_CONTROL_TO_GUEST, {BLOCKS_GPA, 7}, 0},
	{VCON_CONTROL_TO_GUEST, {LOW_END, 64}, 0},
};

START_TEST(chains_that_a_queue_cannot_have)
{
	vc_introduce();
	vcon_set_host_open(&vcon, 1, true);
	for (unsigned int port = 0; port < 3; port++)
		vcon_receive(&vcon, port, (const uint8_t *)"input", 5);
	ck_assert(!vc_needs_reset());
	add(wrong[_i].queue, wrong[_i].buffer, wrong[_i].readable);
	ck_assert(vc_needs_reset());
	/* A reset, and all is well. */
	vc_start(VC_SIZE | VC_MULTIPORT, 8);
	ck_assert(!vc_needs_reset());
	memset(&vc_host, 0, sizeof(vc_host));
	vc_host.room = SIZE_MAX;
	ck_assert(vc_send(VC_TX(0), "well", 4));
	ck_assert_mem_eq(vc_host.got[0], "well", 4);
}
END_TEST

/* Messages about ports that are not there, of kinds that are not known, and in no order. */
START_TEST(messages_without_a_meaning)
{
	for (uint32_t id = 0; id < 5; id++)
		for (uint16_t event = 0; event < 10; event++)
			vc_control(id == 4 ? UINT32_MAX : id, event, event ^ 1);
	ck_assert(!vc_needs_reset());
	ck_assert(vc_send(VC_TX(0), "a", 1));
}
END_TEST

/* What waits for a driver that asks without end and reads nothing is no more than what there is to tell. */
START_TEST(a_driver_that_asks_without_end)
{
	unsigned int told = 0;

	for (unsigned int i = 0; i < 5000; i++) {
		vc_control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
		vc_control(i % 3, VIRTIO_CONSOLE_PORT_READY, 1);
		vc_control(i % 3, VIRTIO_CONSOLE_PORT_OPEN, i & 1);
		vcon_resize(&vcon, (uint16_t)i, 1);
	}
	do
		vc_give(VCON_CONTROL_TO_GUEST, VC_BUFFER);
	while (vc_take(VCON_CONTROL_TO_GUEST, data) >= 0 && ++told < 1000);
	/* Each port is added; the console is one, has a size and is open; the others have names. */
	ck_assert_uint_eq(told, 3 + 3 + 2);
}
END_TEST

/* While its first part is out, the chain becomes shorter: the place in it is not in it any more. */
START_TEST(a_chain_that_shrinks_while_it_waits)
{
	vc_introduce();
	vc_host.room = 100;
	ck_assert(!vc_send(VC_TX(0), data, 1000));
	struct vring_desc *desc = vc_guest.queue[VC_TX(0)].desc;
	for (unsigned int i = 0; i < VC_RING; i++)
		if (desc[i].len == htole32(1000))
			desc[i].len = htole32(_i ? 99 : 100);
	vc_host.room = SIZE_MAX;
	vcon_output_ready(&vcon, 0);
	fake_driver_work(&vc_guest);
	ck_assert_uint_eq(vc_host.len[0], 100);
	ck_assert_int_eq(vc_needs_reset(), _i);
}
END_TEST

/* A chain of 100 MiB goes out in turns, between which others have theirs. */
START_TEST(a_chain_that_is_long)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 100 * MIB};
	unsigned int turns = 0;

	vc_introduce();
	fake_queue_add(&vc_guest.queue[VC_TX(1)], &buffer, 1, 1);
	fake_driver_set(&vc_guest, VIRTIO_MMIO_QUEUE_NOTIFY, VC_TX(1));
	while (fake_driver_turn(&vc_guest))
		turns++;
	ck_assert_uint_eq(vc_host.len[1], 100 * MIB);
	ck_assert_uint_ge(turns, 1600);
}
END_TEST

START_TEST(chains_without_room_or_bytes)
{
	vc_introduce();
	vcon_receive(&vcon, 0, (const uint8_t *)"a", 1);
	for (unsigned int i = 0; i < 2 * VC_RING; i++) {
		vc_give(VC_RX(0), 0);
		ck_assert_int_eq(vc_take(VC_RX(0), data), 0);
		ck_assert(vc_send(VC_TX(0), "", 0));
	}
	vc_give(VC_RX(0), 1);
	ck_assert_int_eq(vc_take(VC_RX(0), data), 1);
	ck_assert_uint_eq(vc_host.len[0], 0);
}
END_TEST

Suite *vcon_hostile_suite(void);
Suite *vcon_hostile_suite(void)
{
	Suite *suite = suite_create("vcon_hostile");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, vc_setup, vc_teardown);
	tcase_add_loop_test(all, chains_that_a_queue_cannot_have, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(all, messages_without_a_meaning);
	tcase_add_test(all, a_driver_that_asks_without_end);
	tcase_add_loop_test(all, a_chain_that_shrinks_while_it_waits, 0, 2);
	tcase_add_test(all, a_chain_that_is_long);
	tcase_add_test(all, chains_without_room_or_bytes);
	suite_add_tcase(suite, all);
	return suite;
}
