// SPDX-License-Identifier: Apache-2.0
/* A network that is saved goes on; one that is restored has another peer, and its driver finds the link down for a moment. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/fake_net.h"
#include "vmm/lib/clock.h"

static uint8_t saved[4096];
static uint8_t frame[STREAM_FRAME_MAX];
static size_t saved_len;

static void save(void)
{
	saved_len = fake_driver_save(&net_guest, saved, sizeof(saved));
}

static int restore(size_t len, struct why *why)
{
	struct record_in in = {saved, len, false};

	net_plug_another();
	return virtio_mmio_restore(&net_guest.mmio, &in, why);
}

static void move(void)
{
	struct why why = {""};

	save();
	ck_assert_msg(restore(saved_len, &why) == 0, "%s", why.text);
}

static uint16_t status(void)
{
	uint16_t value;
	virtio_mmio_read(&net_guest.mmio,
			 VIRTIO_MMIO_CONFIG + offsetof(struct virtio_net_config, status), &value,
			 sizeof(value));
	return le16toh(value);
}

/* Returns whether there was an interrupt for the configuration, and takes it. */
static bool changed(void)
{
	uint32_t causes = fake_driver_get(&net_guest, VIRTIO_MMIO_INTERRUPT_STATUS);

	fake_driver_set(&net_guest, VIRTIO_MMIO_INTERRUPT_ACK, causes);
	return causes & VIRTIO_MMIO_INT_CONFIG;
}

static void wait_for_timer(void)
{
	ck_assert_uint_gt(net_guest.deferred_until, 0);
	while (clock_ns() < net_guest.deferred_until)
		clock_sleep_ms(1);
	virtio_core_work(&net_guest.mmio.core, NET_RECEIVE);
}

START_TEST(it_goes_on)
{
	uint8_t mac[6];

	net_start(NET_ALL);
	net_give(4);
	net_peer_sends(100, 1);
	net_got(100, 1, 1);
	move();
	net_peer_sends(200, 2);
	net_got(200, 2, 1);
	ck_assert(net_sends(60, 7));
	ck_assert_uint_eq(net_peer_gets(frame), 60);
	/* The address that the driver has read. */
	for (unsigned int i = 0; i < sizeof(mac); i++)
		virtio_mmio_read(&net_guest.mmio, VIRTIO_MMIO_CONFIG + i, &mac[i], 1);
	ck_assert_mem_eq(mac, "\2\0\0\1\2\3", sizeof(mac));
}
END_TEST

START_TEST(the_link_goes_down_and_up)
{
	net_start(NET_ALL);
	changed();
	save();
	fake_driver_work(&net_guest);
	/* The control: the saved one saw nothing. */
	ck_assert(!changed());
	ck_assert_uint_eq(status(), VIRTIO_NET_S_LINK_UP);

	move();
	ck_assert(changed());
	fake_driver_work(&net_guest);
	/* However long the driver takes to look. */
	ck_assert_uint_eq(net_guest.deferred_until, 0);
	ck_assert_uint_eq(status(), 0);
	fake_driver_work(&net_guest);
	ck_assert_uint_eq(status(), 0);
	wait_for_timer();
	ck_assert(changed());
	ck_assert_uint_eq(status(), VIRTIO_NET_S_LINK_UP);
	fake_driver_work(&net_guest);
	ck_assert(!changed());
}
END_TEST

/* A driver that is bound anew asks for addresses anyway; one that does not know of links is told nothing. */
START_TEST(nobody_is_told)
{
	net_start(_i ? NET_ALL & ~(1ULL << VIRTIO_NET_F_STATUS) : NET_ALL);
	changed();
	move();
	if (!_i)
		net_start(NET_ALL);
	ck_assert(!changed());
	ck_assert_uint_eq(status(), VIRTIO_NET_S_LINK_UP);
}
END_TEST

/* A frame that the peer has no room for goes to the next peer, or to the same one if nothing was restored. */
START_TEST(a_frame_that_waits)
{
	unsigned int sent = 0;

	net_start(NET_ALL);
	while (net_sends(60000, 0))
		ck_assert_uint_lt(sent++, 1000);
	ck_assert(net.pair[0].tx.busy);
	save();
	ck_assert(!net.pair[0].tx.busy);
	if (_i) {
		struct why why = {""};
		ck_assert_int_eq(restore(saved_len, &why), 0);
		sent = 0;
	}
	fake_driver_work(&net_guest);
	for (unsigned int i = 0; i <= sent; i++)
		ck_assert_uint_eq(net_peer_gets(frame), 60000);
	ck_assert_uint_eq(net_peer_gets(frame), 0);
	ck_assert(!net.pair[0].tx.busy && !net_needs_reset());
}
END_TEST

START_TEST(any_byte_can_be_wrong)
{
	static const uint8_t bits[] = {0x01, 0x80, 0xff};
	uint8_t good[sizeof(saved)];
	unsigned int refused = 0;

	net_start(NET_ALL);
	net_give(4);
	save();
	memcpy(good, saved, saved_len);
	for (size_t i = 0; i < 3 * saved_len; i++) {
		struct why why = {""};
		memcpy(saved, good, saved_len);
		saved[i / 3] ^= bits[i % 3];
		int error = restore(saved_len, &why);
		ck_assert(error == 0 || error == -EINVAL);
		refused += error != 0;
		if (!error)
			net_peer_sends(100, 1);
	}
	ck_assert_uint_gt(refused, saved_len);
	memcpy(saved, good, saved_len);
	for (size_t len = 0; len < saved_len; len++) {
		struct why why = {""};
		ck_assert_int_eq(restore(len, &why), -EINVAL);
	}
}
END_TEST

/* What the driver has read must stay true; an address that nobody asked for gives way to the one that it has read. */
static const struct {
	const char *mac;
	bool given;
	uint16_t mtu;
	bool fits;
} properties[] = {
	{"\2\7\7\7\7\7", false, 1500, true},  {"\2\0\0\1\2\3", true, 1500, true},
	{"\2\7\7\7\7\7", true, 1500, false},  {"\2\0\0\1\2\3", false, 1400, false},
	{"\2\0\0\1\2\3", false, 9000, false},
};

START_TEST(what_the_driver_has_read)
{
	struct why why = {""};

	net_start(NET_ALL);
	save();
	net_plug_another();
	memcpy(net.config.mac, properties[_i].mac, sizeof(net.config.mac));
	net.config.mac_given = properties[_i].given;
	net.config.mtu = properties[_i].mtu;
	struct record_in in = {saved, saved_len, false};
	ck_assert_int_eq(virtio_mmio_restore(&net_guest.mmio, &in, &why),
			 properties[_i].fits ? 0 : -EINVAL);
	ck_assert_int_eq(strstr(why.text, "options that it was started with") != NULL,
			 !properties[_i].fits);
}
END_TEST

/* Its backend is the host's, where another guest may have it. */
START_TEST(one_that_cannot_be_saved)
{
	struct why why = {""};

	net_start(NET_ALL);
	save();
	net_plug_another();
	net.dev.save_advice = "a tap";
	struct record_in in = {saved, saved_len, false};
	ck_assert(!virtio_core_can_save(&net_guest.mmio.core));
	ck_assert_int_eq(virtio_mmio_restore(&net_guest.mmio, &in, &why), -EINVAL);
}
END_TEST

Suite *net_saved_suite(void);
Suite *net_saved_suite(void)
{
	Suite *suite = suite_create("net, saved");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, net_setup, net_teardown);
	tcase_add_test(all, it_goes_on);
	tcase_add_test(all, the_link_goes_down_and_up);
	tcase_add_loop_test(all, nobody_is_told, 0, 2);
	tcase_add_loop_test(all, a_frame_that_waits, 0, 2);
	tcase_add_test(all, any_byte_can_be_wrong);
	tcase_add_loop_test(all, what_the_driver_has_read, 0,
			    sizeof(properties) / sizeof(properties[0]));
	tcase_add_test(all, one_that_cannot_be_saved);
	suite_add_tcase(suite, all);
	return suite;
}
