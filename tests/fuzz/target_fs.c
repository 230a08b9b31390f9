// SPDX-License-Identifier: Apache-2.0
/*
 * A folder, whose backend is another process: one that lies in its messages, writes what it likes to the
 * rings, falls silent, ends, and is replaced.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "devices/virtio-fs/fs.h"
#include "tests/fuzz/guest.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

#define BACKEND_FEATURES                                                                           \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |                        \
	 1ULL << VHOST_USER_F_PROTOCOL_FEATURES)

enum lie {
	HONEST,
	WRONG_NUMBER,
	NO_REPLY_FLAG,
	WRONG_SIZE,
	REFUSES,
	HALF,
	SILENT,
	CLOSES,
	TWICE,
	OTHER_QUEUE,
	LIES,
};

/* Of the machine's record: the backend lies in its messages alone, and keeps the rules of the rings. */
#define HONEST_RINGS 0x02

static struct fs fs;
static struct {
	enum lie lie;
	unsigned int after; /* replies before it */
	uint64_t value;	    /* what a lie says instead */
	bool honest;
	struct {
		uint16_t next; /* of the available ring */
		uint16_t head[FS_QUEUE_SIZE];
		unsigned int heads; /* taken, and not returned yet */
		bool started;
	} queue[FS_QUEUES];
} backend;

/* --- its work on the rings ------------------------------------------------------------------- */

static void give_back(const struct virtq *q, uint32_t head)
{
	uint16_t idx = q->used->idx;
	q->used->ring[idx % q->size] = (struct vring_used_elem){head, 0};
	q->used->idx = idx + 1;
}

/* Takes what the driver has added, and returns @n of it, from the newest on or from the oldest. */
static void serve_honestly(unsigned int number, unsigned int n, bool newest)
{
	const struct virtq *q = &fs.served.dev.queue[number];
	uint16_t *head = backend.queue[number].head;
	unsigned int *heads = &backend.queue[number].heads;

	/* What it was not told to serve it does not touch; nor does it once it has ended. */
	if (!backend.queue[number].started)
		return;
	while (backend.queue[number].next != q->avail->idx && *heads < q->size)
		head[(*heads)++] = q->avail->ring[backend.queue[number].next++ % q->size];
	for (; n > 0 && *heads > 0; n--) {
		unsigned int i = newest ? *heads - 1 : 0;
		give_back(q, head[i]);
		memmove(&head[i], &head[i + 1], (--*heads - i) * sizeof(head[0]));
	}
}

/* @quietly: it ends before it can say so. */
static void serve(unsigned int number, unsigned int n, uint32_t lie, bool quietly)
{
	const struct virtq *q = &fs.served.dev.queue[number];

	if (!fs.served.queue[number].handed || !q->ready)
		return;
	if (backend.honest)
		serve_honestly(number, n, lie & 1);
	else
		for (unsigned int i = 0; i < n; i++)
			give_back(q, lie ? lie : q->avail->ring[q->used->idx % q->size]);
	if (quietly)
		return;
	if (fs.served.queue[number].call >= 0)
		wake_ring(fs.served.queue[number].call);
	vhost_user_device_called(&fs.served, number);
}

/* What an honest backend does before it replies. */
static void obey(uint32_t request, const uint8_t *payload)
{
	uint32_t field[2];

	memcpy(field, payload, sizeof(field));
	if (request == VHOST_USER_SET_VRING_BASE) {
		MUST(field[0] < FS_QUEUES);
		backend.queue[field[0]].next = (uint16_t)field[1];
		backend.queue[field[0]].heads = 0;
	}
	if (request == VHOST_USER_SET_VRING_ENABLE && field[0] < FS_QUEUES)
		backend.queue[field[0]].started = field[1] == 1;
	if (request == VHOST_USER_GET_VRING_BASE && field[0] < FS_QUEUES) {
		if (backend.honest && fs.served.dev.queue[field[0]].ready)
			serve_honestly(field[0], UINT32_MAX, false);
		backend.queue[field[0]].started = false;
	}
}

/* ebb waits for all that it was given: an honest backend returns it. */
static void return_all(void)
{
	for (unsigned int i = 0; i < FS_QUEUES && backend.honest; i++)
		if (fs.served.queue[i].handed && fs.served.dev.queue[i].ready) {
			serve_honestly(i, UINT32_MAX, false);
			wake_ring(fs.served.queue[i].call);
		}
}

/* --- the backend's messages -------------------------------------------------------------------- */

static uint64_t right(uint32_t request, const uint8_t *payload)
{
	uint32_t queue = 0;

	switch (request) {
	case VHOST_USER_GET_FEATURES:
		return BACKEND_FEATURES;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		return 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	case VHOST_USER_GET_VRING_BASE:
		memcpy(&queue, payload, sizeof(queue));
		return queue;
	default:
		return 0;
	}
}

/* Its process ends. */
static void closes(void)
{
	for (unsigned int i = 0; i < FS_QUEUES; i++)
		backend.queue[i].started = false;
	host_peer_closes();
}

static void reply(uint32_t request, uint64_t value, enum lie lie)
{
	uint32_t header[3] = {request, 5, 8};
	uint8_t bytes[VHOST_USER_REPLY_MAX];

	if (lie == WRONG_NUMBER)
		header[0] ^= 1;
	else if (lie == NO_REPLY_FLAG)
		header[1] = 1;
	else if (lie == WRONG_SIZE)
		header[2] = (uint32_t)backend.value;
	else if (lie == REFUSES || lie == OTHER_QUEUE)
		value = backend.value;
	memcpy(bytes, header, sizeof(header));
	memcpy(bytes + sizeof(header), &value, sizeof(value));
	if (lie == CLOSES)
		closes();
	else if (lie != SILENT)
		host_peer_writes(bytes, lie == HALF ? 7 : sizeof(bytes));
	if (lie == TWICE)
		host_peer_writes(bytes, sizeof(bytes));
}

/* ebb sends each message at once: the socket's room is never less. */
static void hear(const uint8_t *bytes, size_t len)
{
	uint32_t header[3];

	MUST(len >= VHOST_USER_HEADER_SIZE && len <= VHOST_USER_MESSAGE_MAX);
	memcpy(header, bytes, sizeof(header));
	MUST(header[2] == len - VHOST_USER_HEADER_SIZE);
	bool asks = header[0] == VHOST_USER_GET_FEATURES ||
		    header[0] == VHOST_USER_GET_PROTOCOL_FEATURES ||
		    header[0] == VHOST_USER_GET_VRING_BASE;
	if (!asks && !(header[1] & 8))
		return;
	if (header[2] >= 8)
		obey(header[0], bytes + VHOST_USER_HEADER_SIZE);
	enum lie lie = HONEST;
	if (backend.lie && backend.after-- == 0) {
		lie = backend.lie;
		backend.lie = HONEST;
	}
	reply(header[0], right(header[0], bytes + VHOST_USER_HEADER_SIZE), lie);
}

/* --------------------------------------------------------------------------------------------- */

static void found(void *ctx, int socket)
{
	(void)ctx, (void)socket;
}

static void lost(void *ctx)
{
	(void)ctx;
}

/* A process that was killed has closed its end. */
static void end(void *ctx)
{
	(void)ctx;
	closes();
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	const char *tag = machine->a & 1 ? "a" : "a-tag-of-36-bytes-which-is-the-most--";
	const struct vhost_user_config config = {.found = found, .lost = lost, .end = end};

	/* Another process can map it, or not. */
	guest.ram.file = machine->b & 2 ? -1 : 1;
	memset(&backend, 0, sizeof(backend));
	backend.honest = machine->a & HONEST_RINGS;
	guest.others_write = !backend.honest;
	backend.lie = machine->c % LIES;
	backend.after = machine->c >> 8 & 7;
	host_on_sent(hear);
	host_on_wait(return_all);
	MUST(fs_init(&fs, tag, &config, &guest.host) == 0);
	if (machine->b & 4) {
		vhost_user_device_await(&fs.served);
		return &fs.served.dev;
	}
	/* A machine whose first backend does not begin well does not start. */
	while (vhost_user_device_open(&fs.served, host_socket(), clock_ns() + NS_PER_S)) {
		fs_release(&fs);
		MUST(fs_init(&fs, tag, &config, &guest.host) == 0);
		backend.lie = HONEST;
	}
	return &fs.served.dev;
}

static void event(const struct guest_record *record)
{
	unsigned int queue = record->c & 1;
	uint8_t noise[8] = {0};

	switch (record->a % 8) {
	case 0:
		backend.lie = record->b % LIES;
		backend.after = record->b >> 8 & 31;
		backend.value = record->c;
		break;
	case 1:
		serve(queue, 1 + (record->b & 7), 0, record->b & 8);
		break;
	case 2:
		serve(queue, 1 + (record->b & 7), record->c >> 1, record->b & 8);
		break;
	case 3:
		closes();
		vhost_user_device_stirs(&fs.served);
		break;
	case 4:
		memcpy(noise, &record->c, sizeof(record->c));
		host_peer_writes(noise, 1 + record->b % 8);
		vhost_user_device_stirs(&fs.served);
		break;
	case 5:
		/* There is one socket: the old one has ended before there is another. */
		if (atomic_load(&fs.served.next) >= 0 || fs.served.backend.socket >= 0)
			closes();
		guest_work();
		if (fs.served.backend.socket < 0 && atomic_load(&fs.served.next) < 0)
			vhost_user_device_came(&fs.served, host_socket());
		break;
	case 6:
		if (!backend.honest && fs.served.queue[queue].handed &&
		    fs.served.dev.queue[queue].ready)
			fs.served.dev.queue[queue].used->idx = (uint16_t)record->b;
		vhost_user_device_called(&fs.served, queue);
		break;
	default:
		host_peer_reads(SIZE_MAX, record->b & 1 ? ENOBUFS : 0);
	}
}

/* While the backend has the rings, the device only watches them. */
static unsigned int held(unsigned int queue)
{
	const struct virtq *q = &fs.served.dev.queue[queue];

	if (fs.served.state == VHOST_USER_REFUSES && !fs.served.queue[queue].owed)
		return 0;
	return (uint16_t)(q->next_avail - q->next_used);
}

static void unplug(void)
{
	fs_release(&fs);
}

static size_t payload(uint32_t random, uint8_t *data)
{
	const struct fuse_in_header in = {.len = sizeof(in),
					  .opcode = random & 1 ? FUSE_INIT : random >> 1 & 63,
					  .unique = random >> 8};

	memcpy(data, &in, sizeof(in));
	return sizeof(in);
}

static const uint16_t lengths[] = {16, 104, 4096, 40, 24};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.held = held,
	.shape = {.first = sizeof(struct fuse_in_header),
		  .readable = 1,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
