// SPDX-License-Identifier: Apache-2.0
/* The front end: its messages, byte by byte, and what it makes of backends that lie. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/vhost-user/channel.h"
#include "devices/vhost-user/frontend.h"
#include "tests/unit/fake_backend.h"
#include "tests/unit/fake_driver.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

#define V1	 (1ULL << VIRTIO_F_VERSION_1)
#define PROTOCOL (1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
#define ACK	 (1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK)
/* For a backend that replies, and for one that does not. */
#define LONG  (clock_ns() + 60 * NS_PER_S)
#define SHORT (clock_ns() + 50 * NS_PER_MS)

static struct fake_driver guest;
static struct fake_backend backend;
static struct vhost_user front;

static void setup(void)
{
	fake_driver_init_shared(&guest);
	backend = (struct fake_backend){.features = V1 | PROTOCOL, .protocol = ACK | 1};
	front = (struct vhost_user){.socket = -1};
}

static void teardown(void)
{
	vhost_user_close(&front);
	fake_backend_kill(&backend);
	fake_driver_release(&guest);
}

/* --- messages -------------------------------------------------------------------------------- */

static void is(const struct vhost_user_message *message, const char *bytes, size_t len)
{
	ck_assert_uint_eq(message->len, len);
	ck_assert_mem_eq(message->data, bytes, len);
}

START_TEST(encodes)
{
	struct vhost_user_message message;
	const struct vhost_user_ring ring = {0x1000, 0x2000, 0x3000};

	vhost_user_encode(&message, VHOST_USER_SET_OWNER, false);
	is(&message, "\3\0\0\0\1\0\0\0\0\0\0\0", 12);
	vhost_user_encode_u64(&message, VHOST_USER_SET_FEATURES, true, 0x0102030405060708);
	is(&message, "\2\0\0\0\11\0\0\0\10\0\0\0\10\7\6\5\4\3\2\1", 20);
	vhost_user_encode_state(&message, VHOST_USER_SET_VRING_NUM, false, 1, 256);
	is(&message, "\10\0\0\0\1\0\0\0\10\0\0\0\1\0\0\0\0\1\0\0", 20);
	/* Used before avail: vhost-user.rst, "A vring address description". */
	vhost_user_encode_ring(&message, false, 1, &ring);
	is(&message,
	   "\11\0\0\0\1\0\0\0\50\0\0\0\1\0\0\0\0\0\0\0"
	   "\0\x10\0\0\0\0\0\0\0\x30\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	   52);
}
END_TEST

START_TEST(encodes_memory)
{
	struct ram_share share[RAM_REGIONS_MAX];
	struct vhost_user_message message;

	for (unsigned int i = 0; i < RAM_REGIONS_MAX; i++)
		share[i] = (struct ram_share){.gpa = i, .size = 1, .hva = NULL, .offset = i};
	vhost_user_encode_memory(&message, true, share, RAM_REGIONS_MAX);
	ck_assert_uint_le(message.len, VHOST_USER_MESSAGE_MAX);
	ck_assert_uint_eq(message.len, VHOST_USER_HEADER_SIZE + 8 + 32 * RAM_REGIONS_MAX);
	ck_assert_uint_eq(message.data[8], 8 + 32 * RAM_REGIONS_MAX);
	ck_assert_uint_eq(message.data[12], RAM_REGIONS_MAX);
	ck_assert_uint_eq(message.data[20 + 32], 1);
}
END_TEST

START_TEST(decodes_what_is_right)
{
	static const struct {
		uint32_t header[3];
		bool right;
	} table[] = {
		{{1, 5, 8}, true},
		{{1, 13, 8}, true}, /* flags that mean nothing in a reply */
		{{2, 5, 8}, false},
		{{1, 1, 8}, false},
		{{1, 4, 8}, false},
		{{1, 6, 8}, false},
		{{1, 7, 8}, false},
		{{1, 5, 0}, false},
		{{1, 5, 7}, false},
		{{1, 5, 9}, false},
		{{1, 5, UINT32_MAX}, false},
		{{0x100000001 >> 8, 5, 8}, false},
	};
	uint8_t bytes[VHOST_USER_HEADER_SIZE];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memcpy(bytes, table[i].header, sizeof(bytes));
		ck_assert_int_eq(vhost_user_decode_header(bytes, VHOST_USER_GET_FEATURES),
				 table[i].right ? 8 : -EPROTO);
	}
}
END_TEST

START_TEST(decodes_a_configuration)
{
	static const struct {
		uint32_t field[6];
		bool right;
	} table[] = {
		{{24, 5, 12 + 60, 0, 60, 0}, true},
		{{24, 5, 12 + 60, 0, 60, 1}, true}, /* flags mean nothing here */
		{{25, 5, 12 + 60, 0, 60, 0}, false},
		{{24, 1, 12 + 60, 0, 60, 0}, false},
		{{24, 5, 12 + 61, 0, 60, 0}, false},
		{{24, 5, 60, 0, 60, 0}, false},
		{{24, 5, 0, 0, 60, 0}, false}, /* libvhost-user refuses with this */
		{{24, 5, UINT32_MAX, 0, 60, 0}, false},
		{{24, 5, 12 + 60, 1, 60, 0}, false},
		{{24, 5, 12 + 60, 0, 59, 0}, false},
		{{24, 5, 12 + 60, 0, UINT32_MAX, 0}, false},
	};
	struct vhost_user_message message;
	uint8_t bytes[24];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memcpy(bytes, table[i].field, sizeof(bytes));
		int error = vhost_user_decode_config_header(bytes, 60);
		if (!error)
			error = vhost_user_decode_config(bytes + VHOST_USER_HEADER_SIZE, 60);
		ck_assert_int_eq(error, table[i].right ? 0 : -EPROTO);
	}
	vhost_user_encode_config(&message, VHOST_USER_CONFIG_MAX);
	ck_assert_uint_eq(message.len, VHOST_USER_MESSAGE_MAX);
}
END_TEST

START_TEST(decodes_noise)
{
	uint8_t bytes[VHOST_USER_REPLY_MAX];
	uint32_t value;

	srand(1);
	for (unsigned int i = 0; i < 200000; i++) {
		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (uint8_t)rand();
		ck_assert_int_eq(vhost_user_decode_header(bytes, VHOST_USER_GET_VRING_BASE),
				 -EPROTO);
		ck_assert_int_eq(vhost_user_decode_state(bytes + 12, 1, &value), -EPROTO);
	}
}
END_TEST

/* --- a connection ---------------------------------------------------------------------------- */

static void open_it(void)
{
	int fd = fake_backend_start(&backend);
	ck_assert_int_eq(vhost_user_open(&front, fd, LONG), 0);
}

/* A queue as a driver sets it up; and the two eventfds. */
static struct vhost_user_queue queue_of(struct virtq *q)
{
	*q = (struct virtq){.size_max = 16,
			    .size = 16,
			    .desc_gpa = RINGS_GPA,
			    .avail_gpa = RINGS_GPA + 16 * KIB,
			    .used_gpa = RINGS_GPA + 32 * KIB};
	ck_assert_int_eq(virtq_start(q, &guest.ram, 0), 0);
	fake_queue_init(&guest, 0, 16);
	return (struct vhost_user_queue){0, q, wake_open(), wake_open()};
}

static void close_fds(const struct vhost_user_queue *queue)
{
	close(queue->kick);
	close(queue->call);
}

START_TEST(serves)
{
	static const uint32_t order[] = {1, 15, 16, 3, 2, 5, 8, 10, 9, 13, 12, 18, 11};
	struct virtq q;
	struct vhost_user_queue queue = queue_of(&q);

	open_it();
	ck_assert_int_eq(vhost_user_set_up(&front, V1, &guest.ram, LONG), 0);
	ck_assert_int_eq(vhost_user_start(&front, &queue, LONG), 0);
	ck_assert_int_eq(vhost_user_check(&front), 0);
	/* The backend sees what the guest writes in both regions. */
	ck_assert_uint_eq(backend.regions, 2);
	*(uint32_t *)fake_driver_at(&guest, HIGH_GPA, 4) = 0x12345678;
	ck_assert_mem_eq(backend.region[1].map + backend.region[1].offset, "\x78\x56\x34\x12", 4);
	ck_assert_int_eq(vhost_user_stop(&front, 0, LONG), 0);
	ck_assert_uint_eq(backend.requests, sizeof(order) / sizeof(order[0]));
	ck_assert_mem_eq(backend.request, order, sizeof(order));
	ck_assert_uint_eq(backend.fds[5], 2);
	close_fds(&queue);
}
END_TEST

START_TEST(lacks_a_feature)
{
	static const struct {
		uint64_t features, protocol;
	} table[] = {{V1, ACK}, {V1 | PROTOCOL, 0}, {0, ACK}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		backend = (struct fake_backend){.features = table[i].features,
						.protocol = table[i].protocol};
		int fd = fake_backend_start(&backend);
		ck_assert_int_eq(vhost_user_open(&front, fd, LONG), -ENOTSUP);
		vhost_user_close(&front);
		fake_backend_kill(&backend);
	}
	backend = (struct fake_backend){.features = PROTOCOL, .protocol = ACK};
	open_it();
	ck_assert_int_eq(vhost_user_set_up(&front, V1, &guest.ram, LONG), -ENOTSUP);
}
END_TEST

static int probe(uint64_t features, uint64_t protocol, enum lie lie, uint64_t deadline)
{
	backend = (struct fake_backend){
		.features = features, .protocol = protocol, .lie = lie, .lies_at = 1};
	int fd = fake_backend_start(&backend);
	int error = vhost_user_probe(fd, deadline);

	/* The socket is as good as before. */
	if (!error)
		error = vhost_user_open(&front, fd, LONG);
	else
		close(fd);
	vhost_user_close(&front);
	fake_backend_kill(&backend);
	return error;
}

START_TEST(probes)
{
	const uint64_t all = VHOST_USER_FEATURES | PROTOCOL;
	sigset_t usr1, term;

	ck_assert_int_eq(probe(all, ACK, HONEST, LONG), 0);
	for (uint64_t bit = 1; bit; bit <<= 1)
		if (all & bit)
			ck_assert_int_eq(probe(all & ~bit, ACK, HONEST, LONG), -ENOTSUP);
	ck_assert_int_eq(probe(all, 0, HONEST, LONG), -ENOTSUP);
	ck_assert_int_eq(probe(all, ACK, SILENT, SHORT), -ETIMEDOUT);
	ck_assert_int_eq(probe(all, ACK, CLOSES, LONG), -EPIPE);

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	ck_assert_int_eq(probe(all, ACK, HONEST, LONG), 0);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	raise(SIGTERM);
	ck_assert_int_eq(probe(all, ACK, SILENT, LONG), -EINTR);
}
END_TEST

START_TEST(private_memory)
{
	struct fake_driver other;

	fake_driver_init(&other);
	open_it();
	ck_assert_int_eq(vhost_user_set_up(&front, V1, &other.ram, LONG), -EOPNOTSUPP);
	fake_driver_release(&other);
}
END_TEST

static unsigned int open_files(void)
{
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* From the beginning to the end of a connection; returns the first error. */
static int all_of_it(const struct vhost_user_queue *queue, bool short_limit)
{
	int fd = fake_backend_start(&backend);

	int error = vhost_user_open(&front, fd, short_limit ? SHORT : LONG);
	if (!error)
		error = vhost_user_set_up(&front, V1, &guest.ram, short_limit ? SHORT : LONG);
	if (!error)
		error = vhost_user_start(&front, queue, short_limit ? SHORT : LONG);
	if (!error)
		error = vhost_user_stop(&front, 0, short_limit ? SHORT : LONG);
	return error;
}

/* Every lie at every request that has a reply. */
START_TEST(lies)
{
	static const uint32_t at[] = {1, 15, 3, 2, 5, 8, 10, 9, 13, 12, 18, 11};
	static const int wanted[] = {
		[HONEST] = 0,
		[SILENT] = -ETIMEDOUT,
		[CLOSES] = -EPIPE,
		[HALF] = -EPIPE,
		[WRONG_SIZE] = -EPROTO,
		[HUGE_SIZE] = -EPROTO,
		[WRONG_NUMBER] = -EPROTO,
		[NO_REPLY_FLAG] = -EPROTO,
		[REFUSES] = -EREMOTEIO,
		[WITH_FDS] = 0,
	};
	struct virtq q;
	struct vhost_user_queue queue = queue_of(&q);
	unsigned int files = open_files();

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint32_t request = at[i];
		bool number = request == 1 || request == 15 || request == 11;
		enum lie lie = (enum lie)_i;
		/* A number is not a refusal, but a feature that is missing, or another queue. */
		int want = !(lie == REFUSES && number) ? wanted[lie]
			   : request == 11	       ? -EPROTO
						       : -ENOTSUP;

		backend = (struct fake_backend){
			.features = V1 | PROTOCOL, .protocol = ACK, .lie = lie, .lies_at = request};
		ck_assert_msg(all_of_it(&queue, lie == SILENT) == want, "lie %d at %u", lie,
			      request);
		vhost_user_close(&front);
		fake_backend_kill(&backend);
		ck_assert_uint_eq(open_files(), files);
	}
	close_fds(&queue);
}
END_TEST

START_TEST(speaks_unasked)
{
	open_it();
	ck_assert_int_eq(vhost_user_check(&front), 0);
	ck_assert_int_eq(write(backend.socket, "x", 1), 1);
	ck_assert_int_eq(vhost_user_check(&front), -EPROTO);
}
END_TEST

START_TEST(waits_for_the_end)
{
	open_it();
	ck_assert(!channel_wait_closed(front.socket, SHORT));
	ck_assert_int_eq(write(backend.socket, "hello", 5), 5);
	fake_backend_kill(&backend);
	ck_assert_int_eq(vhost_user_check(&front), -EPROTO); /* its last words */
	ck_assert(channel_wait_closed(front.socket, LONG));
	ck_assert_int_eq(vhost_user_check(&front), -EPIPE);
}
END_TEST

Suite *vhost_user_suite(void);
Suite *vhost_user_suite(void)
{
	Suite *suite = suite_create("vhost_user");
	TCase *messages = tcase_create("messages");
	TCase *tc = tcase_create("connection");

	tcase_add_test(messages, encodes);
	tcase_add_test(messages, encodes_memory);
	tcase_add_test(messages, decodes_what_is_right);
	tcase_add_test(messages, decodes_a_configuration);
	tcase_add_test(messages, decodes_noise);
	suite_add_tcase(suite, messages);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, serves);
	tcase_add_test(tc, lacks_a_feature);
	tcase_add_test(tc, probes);
	tcase_add_test(tc, private_memory);
	tcase_add_loop_test(tc, lies, HONEST, WITH_FDS + 1);
	tcase_add_test(tc, speaks_unasked);
	tcase_add_test(tc, waits_for_the_end);
	suite_add_tcase(suite, tc);
	return suite;
}
