// SPDX-License-Identifier: Apache-2.0
/* Devices that are saved, and go on as others: what a driver has set up and begun is finished by the new one. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/rtc/cmos.h"
#include "devices/serial/serial.h"
#include "devices/virtio-balloon/queues.h"
#include "tests/unit/fake_balloon.h"
#include "vmm/lib/clock.h"
#include "vmm/mem/present.h"

#define ALL	  (V1 | TELL | STATS | REPORTING | RECLAIM)
#define STATS_Q	  2
#define REPORT_Q  3
#define RECLAIM_Q 4
#define ANSWER	  AT(300)
#define ASKED	  AT(301)
#define NUMBERS	  AT(400)
#define LONG	  2000 /* pages in one chain: more than the device does in one turn */
#define LONG_GPA  (BLOCKS_GPA + 8 * MIB)

static const struct balloon_config config = {.free_page_reporting = true};
static uint8_t saved[4096];
static struct record record;

static void setup(void)
{
	balloon_plug(&config);
	balloon_start(ALL);
}

static void save(void)
{
	record.len = fake_driver_save(&guest, saved, sizeof(saved));
}

/* Another device takes its place: RAM and the driver stay as they are. */
static int restore(const struct balloon_config *other, size_t len, struct why *why)
{
	struct record_in in = {saved, len, false};

	virtio_mmio_release(&guest.mmio);
	balloon_release(&balloon);
	ck_assert_int_eq(balloon_init(&balloon, other, &guest.host), 0);
	fake_driver_plug(&guest, &balloon.dev);
	guest.deferred = 0;
	atomic_store(&guest.interrupts, 0);
	return virtio_mmio_restore(&guest.mmio, &in, why);
}

static void move(void)
{
	struct why why = {""};

	save();
	ck_assert_msg(restore(&config, record.len, &why) == 0, "%s", why.text);
}

/* --- it goes on -------------------------------------------------------------------------------- */

START_TEST(reports_go_on)
{
	const struct gpa_range block = {AT(512), BLOCK};

	for (unsigned int i = 0; i < 300; i++) {
		fill(block.gpa, block.len);
		ck_assert_uint_eq(serve_chain(REPORT_Q, &block, 1, 0), block.len);
		ck_assert(holds(block.gpa, block.len, 0));
		if (i % 100 == 0)
			move();
	}
	ck_assert(!needs_reset());
}
END_TEST

/* What was added, but not served, needs no other notification. */
START_TEST(what_waits_is_served)
{
	const struct gpa_range block = {AT(512), BLOCK};
	struct vring_used_elem element;

	fill(block.gpa, block.len);
	fake_queue_add(&guest.queue[REPORT_Q], &block, 1, 0);
	move();
	fake_driver_work(&guest);
	ck_assert(fake_queue_used(&guest.queue[REPORT_Q], &element));
	ck_assert(holds(block.gpa, block.len, 0));
}
END_TEST

START_TEST(an_interrupt_is_not_lost)
{
	const struct gpa_range block = {AT(512), BLOCK};

	move();
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 0);
	serve_chain(REPORT_Q, &block, 1, 0);
	/* Not acknowledged: the guest may not have had it. */
	move();
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 1);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	fake_driver_set(&guest, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	move();
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 0);
}
END_TEST

START_TEST(registers_stay)
{
	balloon_set_target(&balloon, 64 * MIB);
	fake_driver_set(&guest, VIRTIO_MMIO_CONFIG + 4, 123);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_SEL, 3);
	uint32_t generation = fake_driver_get(&guest, VIRTIO_MMIO_CONFIG_GENERATION);
	move();
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG), 64 * MIB / 4096);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG + 4), 123);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_STATUS), 0xf);
	ck_assert_uint_eq(guest.mmio.queue_sel, 3);
	ck_assert_int_eq(balloon_view(&balloon, clock_ns()).state, BALLOON_MOVING);
}
END_TEST

START_TEST(held_statistics_go_back)
{
	const struct gpa_range buffer = {AT(300), 100};
	struct vring_used_elem element;

	memset(fake_driver_at(&guest, buffer.gpa, 100), 0, 100);
	uint16_t head = fake_queue_add(&guest.queue[STATS_Q], &buffer, 1, 1);
	fake_driver_kick(&guest, STATS_Q);
	ck_assert(!fake_queue_used(&guest.queue[STATS_Q], &element));
	move();
	fake_driver_work(&guest);
	ck_assert(!fake_queue_used(&guest.queue[STATS_Q], &element));
	balloon_stats_request(&balloon);
	fake_driver_work(&guest);
	ck_assert(fake_queue_used(&guest.queue[STATS_Q], &element));
	ck_assert_uint_eq(element.id, head);
	ck_assert(!needs_reset());
}
END_TEST

static void give(uint32_t id)
{
	static const struct gpa_range chain[] = {{ANSWER, 56}, {ASKED, 24}};
	struct reclaim_response *response = fake_driver_at(&guest, ANSWER, 56);

	*response = (struct reclaim_response){.id = htole32(id)};
	fake_queue_add(&guest.queue[RECLAIM_Q], chain, 2, 1);
	fake_driver_kick(&guest, RECLAIM_Q);
}

static uint32_t asked(void)
{
	const struct balloon_reclaim_request request = {.timeout_ms = 1000};
	struct vring_used_elem element;

	ck_assert_int_eq(balloon_reclaim(&balloon, &request, clock_ns()), 0);
	fake_driver_work(&guest);
	ck_assert(fake_queue_used(&guest.queue[RECLAIM_Q], &element));
	return le32toh(((struct reclaim_request *)fake_driver_at(&guest, ASKED, 24))->id);
}

START_TEST(the_held_reclaim_chain_is_used)
{
	give(0);
	give(asked());
	move();
	uint32_t id = asked();
	give(id);
	ck_assert_int_eq(balloon_reclaim_view(&balloon, clock_ns()).state, BALLOON_RECLAIM_DONE);
	ck_assert(!needs_reset());
}
END_TEST

/* The guest has a request, and answers it to a device whose client is gone: that is no mistake of its. */
START_TEST(a_request_that_is_under_way)
{
	give(0);
	uint32_t id = asked();
	move();
	give(id);
	ck_assert(!needs_reset());
	ck_assert_int_eq(balloon_reclaim_view(&balloon, clock_ns()).state, BALLOON_RECLAIM_NONE);
	give(asked());
	ck_assert(!needs_reset());
}
END_TEST

/* The driver stopped a queue, with a chain that the device held. It may start it anew. */
START_TEST(a_stopped_queue_holds_nothing)
{
	struct vring_used_elem element;

	give(0);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_SEL, RECLAIM_Q);
	fake_driver_set(&guest, VIRTIO_MMIO_QUEUE_READY, 0);
	move();
	fake_driver_queue(&guest, RECLAIM_Q, 8);
	const struct balloon_reclaim_request request = {.timeout_ms = 1000};
	ck_assert_int_eq(balloon_reclaim(&balloon, &request, clock_ns()), 0);
	fake_driver_work(&guest);
	ck_assert(!fake_queue_used(&guest.queue[RECLAIM_Q], &element));
	ck_assert(!needs_reset());
}
END_TEST

/* A chain of which the device has done only a part. */
static void begin_long_chain(void)
{
	const struct gpa_range numbers = {NUMBERS, 4 * LONG};
	uint32_t *pfn = fake_driver_at(&guest, NUMBERS, numbers.len);
	struct vring_used_elem element;

	for (unsigned int i = 0; i < LONG; i++)
		pfn[i] = htole32((uint32_t)(LONG_GPA / 4096 + i));
	fill(LONG_GPA, LONG * 4096);
	fake_queue_add(&guest.queue[INFLATE_Q], &numbers, 1, 1);
	atomic_store(&guest.deferred, 1);
	ck_assert(fake_driver_turn(&guest));
	ck_assert(!fake_queue_used(&guest.queue[INFLATE_Q], &element));
}

/* Used once, with all of it discarded. */
static void check_long_chain(void)
{
	struct vring_used_elem element;

	ck_assert(fake_queue_used(&guest.queue[INFLATE_Q], &element));
	ck_assert(!fake_queue_used(&guest.queue[INFLATE_Q], &element));
	ck_assert(holds(LONG_GPA, LONG * 4096, 0));
	ck_assert(!needs_reset());
}

START_TEST(a_long_chain_begins_again)
{
	begin_long_chain();
	move();
	fake_driver_work(&guest);
	check_long_chain();
}
END_TEST

/* Nobody rings for it: thaw has made it look again. */
START_TEST(a_saved_device_finishes_a_long_chain)
{
	begin_long_chain();
	atomic_store(&guest.deferred, 0);
	save();
	fake_driver_work(&guest);
	check_long_chain();
}
END_TEST

START_TEST(before_any_driver)
{
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	move();
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_STATUS), 0);
	balloon_start(ALL);
	ck_assert(!needs_reset());
}
END_TEST

START_TEST(a_stopped_device_stays_stopped)
{
	const struct gpa_range buffer = {AT(300), 4};

	/* A buffer to write to has no place in this queue. */
	fake_queue_add(&guest.queue[INFLATE_Q], &buffer, 1, 0);
	fake_driver_kick(&guest, INFLATE_Q);
	ck_assert(needs_reset());
	move();
	ck_assert(needs_reset());
	balloon_start(ALL);
	ck_assert(!needs_reset());
}
END_TEST

/* --- nothing in it is trusted ------------------------------------------------------------------ */

START_TEST(any_byte_can_be_wrong)
{
	static const uint8_t bits[] = {0x01, 0x80, 0xff};
	uint8_t good[sizeof(saved)];
	struct why why;
	unsigned int refused = 0;

	give(0);
	save();
	memcpy(good, saved, record.len);
	for (size_t i = 0; i < record.len; i++) {
		for (size_t n = 0; n < sizeof(bits); n++) {
			memcpy(saved, good, record.len);
			saved[i] ^= bits[n];
			why = (struct why){""};
			int error = restore(&config, record.len, &why);
			ck_assert(error == 0 || error == -EINVAL);
			ck_assert_int_eq(error != 0, why.text[0] != '\0');
			refused += error != 0;
			/* Whatever it took, the device keeps to RAM, and ends. */
			if (!error)
				fake_driver_work(&guest);
		}
	}
	ck_assert_uint_gt(refused, record.len / 2);
	memcpy(saved, good, record.len);
	ck_assert_int_eq(restore(&config, record.len, &why), 0);
}
END_TEST

START_TEST(every_length_but_one_is_wrong)
{
	struct why why = {""};

	save();
	for (size_t len = 0; len < record.len; len++)
		ck_assert_int_eq(restore(&config, len, &why), -EINVAL);
	ck_assert_int_eq(restore(&config, record.len + 1, &why), -EINVAL);
	ck_assert_int_eq(restore(&config, record.len, &why), 0);
}
END_TEST

START_TEST(features_must_be_there)
{
	const struct balloon_config other = {.free_page_reporting = false};
	struct why why = {""};

	save();
	ck_assert_int_eq(restore(&other, record.len, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "virtio-balloon has features"));
}
END_TEST

/* A file may name any device; this one has no restore(). */
START_TEST(a_device_that_cannot_be_restored)
{
	static struct virtio_device_ops ops;
	struct why why = {""};
	struct record_in in = {saved, sizeof(saved), false};

	ops = *balloon.dev.ops;
	ops.save = NULL;
	ops.restore = NULL;
	balloon.dev.ops = &ops;
	ck_assert(!virtio_core_can_save(&guest.mmio.core));
	ck_assert_int_eq(virtio_mmio_restore(&guest.mmio, &in, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "cannot be restored"));
}
END_TEST

/* The next request would be written to a chain of another shape. */
START_TEST(a_forged_reclaim_chain)
{
	struct why why = {""};

	give(0);
	save();
	struct vring_desc *desc = guest.queue[RECLAIM_Q].desc;
	for (unsigned int i = 0; i < SIZE; i++)
		desc[i].flags = 0;
	ck_assert_int_eq(restore(&config, record.len, &why), -EINVAL);
}
END_TEST

/* --- the board's devices ------------------------------------------------------------------------ */

static int line;

static void on_interrupt(void *ctx, int level)
{
	(void)ctx;
	line = level;
}

static void on_transmit(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
}

static void on_ready(void *ctx)
{
	(void)ctx;
}

static const struct serial_host serial_host = {NULL, on_interrupt, on_transmit, on_ready};

START_TEST(the_serial_port_keeps_its_input)
{
	struct serial one, other;
	uint8_t value = 1;

	serial_init(&one, &serial_host);
	serial_write(&one, 2, &value, 1); /* the FIFO */
	serial_write(&one, 1, &value, 1); /* interrupt for input */
	value = 8;
	serial_write(&one, 4, &value, 1); /* OUT2 */
	ck_assert_uint_eq(serial_receive(&one, (const uint8_t *)"abcdefgh", 8), 8);
	serial_read(&one, 0, &value, 1);
	record = (struct record){saved, sizeof(saved), 0, false};
	serial_save(&one, &record);
	line = 0;
	serial_init(&other, &serial_host);
	struct record_in in = {saved, record.len, false};
	ck_assert_int_eq(serial_restore(&other, &in), 0);
	ck_assert_int_eq(line, 1);
	for (const char *expected = "bcdefgh"; *expected; expected++) {
		serial_read(&other, 0, &value, 1);
		ck_assert_uint_eq(value, (uint8_t)*expected);
	}
	ck_assert_int_eq(line, 0);
	ck_assert_uint_eq(serial_receive(&other, (const uint8_t *)"xy", 2), 2);
	serial_release(&one);
	serial_release(&other);
}
END_TEST

START_TEST(any_byte_of_the_serial_port_can_be_wrong)
{
	struct serial serial;
	uint8_t value;

	serial_init(&serial, &serial_host);
	record = (struct record){saved, sizeof(saved), 0, false};
	serial_save(&serial, &record);
	for (size_t i = 0; i < 8 * record.len; i++) {
		saved[i / 8] ^= 1 << i % 8;
		struct record_in in = {saved, record.len, false};
		serial_restore(&serial, &in);
		for (unsigned int offset = 0; offset < 3 * SERIAL_SIZE; offset++)
			serial_read(&serial, offset % SERIAL_SIZE, &value, 1);
		serial_receive(&serial, (const uint8_t *)"0123456789abcdefg", 17);
		saved[i / 8] ^= 1 << i % 8;
	}
	for (size_t len = 0; len < record.len; len++) {
		struct record_in in = {saved, len, false};
		ck_assert_int_eq(serial_restore(&serial, &in), -EINVAL);
	}
	serial_release(&serial);
}
END_TEST

START_TEST(the_cmos_keeps_its_memory)
{
	struct cmos one, other;

	cmos_init(&one);
	cmos_init(&other);
	cmos_write(&one, 0, 0x40);
	cmos_write(&one, 1, 0x5a);
	record = (struct record){saved, sizeof(saved), 0, false};
	cmos_save(&one, &record);
	struct record_in in = {saved, record.len, false};
	cmos_restore(&other, &in);
	ck_assert(record_complete(&in));
	ck_assert_uint_eq(cmos_read(&other, 1, 0), 0x5a);
	/* An index beyond its memory is none. */
	saved[0] = 0xff;
	in = (struct record_in){saved, record.len, false};
	cmos_restore(&other, &in);
	cmos_read(&other, 1, 0);
}
END_TEST

/* --- which memory is there ---------------------------------------------------------------------- */

static unsigned int count(const struct ram *ram, unsigned int region)
{
	struct present_cursor cursor = {0};
	bool present[PRESENT_PAGES];
	unsigned int found = 0;

	for (uint64_t at = 0; at < ram->region[region].size; at += PRESENT_PAGES * 4096) {
		ck_assert_int_eq(
			ram_present(ram, &cursor, &ram->region[region], at, PRESENT_PAGES, present),
			0);
		for (unsigned int i = 0; i < PRESENT_PAGES; i++)
			found += present[i];
	}
	return found;
}

START_TEST(only_touched_memory_is_present)
{
	static struct fake_driver host;
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;
	const struct gpa_range range = {HIGH_GPA + MIB, 8192};
	struct present_cursor cursor = {0};
	bool present[PRESENT_PAGES];

	if (_i)
		fake_driver_init_shared(&host);
	else
		fake_driver_init(&host);
	host.ram.pagemap = present_open();
	ck_assert_uint_eq(count(&host.ram, 1), 0);
	for (unsigned int page = 0; page < 3; page++)
		*(uint8_t *)fake_driver_at(&host, HIGH_GPA + MIB + page * 4096, 1) = 1;
	*(uint8_t *)fake_driver_at(&host, HIGH_END - 1, 1) = 1;
	ck_assert_uint_eq(count(&host.ram, 1), 4);
	ram_present(&host.ram, &cursor, &host.ram.region[1], MIB, 4, present);
	ck_assert(present[0] && present[1] && present[2] && !present[3]);
	ram_discard(&host.ram, &range, 1, step, &result);
	ck_assert_uint_eq(count(&host.ram, 1), 2);
	/* To ask does not touch. */
	ck_assert_uint_eq(count(&host.ram, 0), 0);
	ck_assert_int_eq(ram_present(&host.ram, &cursor, &host.ram.region[1], HIGH_END - HIGH_GPA,
				     1, present),
			 -EINVAL);
	ck_assert_int_eq(ram_present(&host.ram, &cursor, &host.ram.region[1], 1, 1, present),
			 -EINVAL);
	fake_driver_release(&host);
}
END_TEST

Suite *saved_devices_suite(void);
Suite *saved_devices_suite(void)
{
	Suite *suite = suite_create("saved_devices");
	TCase *tcase = tcase_create("balloon");

	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, reports_go_on);
	tcase_add_test(tcase, what_waits_is_served);
	tcase_add_test(tcase, an_interrupt_is_not_lost);
	tcase_add_test(tcase, registers_stay);
	tcase_add_test(tcase, held_statistics_go_back);
	tcase_add_test(tcase, the_held_reclaim_chain_is_used);
	tcase_add_test(tcase, a_request_that_is_under_way);
	tcase_add_test(tcase, a_stopped_queue_holds_nothing);
	tcase_add_test(tcase, a_long_chain_begins_again);
	tcase_add_test(tcase, a_saved_device_finishes_a_long_chain);
	tcase_add_test(tcase, before_any_driver);
	tcase_add_test(tcase, a_stopped_device_stays_stopped);
	tcase_add_test(tcase, any_byte_can_be_wrong);
	tcase_add_test(tcase, every_length_but_one_is_wrong);
	tcase_add_test(tcase, features_must_be_there);
	tcase_add_test(tcase, a_device_that_cannot_be_restored);
	tcase_add_test(tcase, a_forged_reclaim_chain);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("board");
	tcase_add_test(tcase, the_serial_port_keeps_its_input);
	tcase_add_test(tcase, any_byte_of_the_serial_port_can_be_wrong);
	tcase_add_test(tcase, the_cmos_keeps_its_memory);
	tcase_add_loop_test(tcase, only_touched_memory_is_present, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
