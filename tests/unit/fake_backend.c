// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_backend.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/wake.h"

/* --- guest memory ---------------------------------------------------------------------------- */

/* The front end's address, where this backend has mapped it. */
static void *user_at(struct fake_backend *backend, uint64_t user)
{
	for (unsigned int i = 0; i < backend->regions; i++) {
		uint64_t offset = user - backend->region[i].user;
		if (offset < backend->region[i].size)
			return backend->region[i].map + backend->region[i].offset + offset;
	}
	return NULL;
}

/* The tests' first region begins at gpa 0: addresses of descriptors are offsets into it. */
static void *gpa_at(struct fake_backend *backend, uint64_t gpa)
{
	return backend->region[0].map + gpa;
}

static void forget_memory(struct fake_backend *backend)
{
	for (unsigned int i = 0; i < backend->regions; i++)
		munmap(backend->region[i].map, backend->region[i].map_size);
	backend->regions = 0;
}

static void map_memory(struct fake_backend *backend, const uint8_t *payload, const int *fd)
{
	uint32_t n;

	forget_memory(backend);
	memcpy(&n, payload, sizeof(n));
	for (unsigned int i = 0; i < n; i++) {
		uint64_t field[4]; /* gpa, size, user address, offset */
		memcpy(field, payload + 8 + 32 * i, sizeof(field));
		size_t size = field[1] + field[3];
		void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd[i], 0);
		ck_assert_ptr_ne(map, MAP_FAILED);
		backend->region[i].user = field[2];
		backend->region[i].size = field[1];
		backend->region[i].map = map;
		backend->region[i].map_size = size;
		backend->region[i].offset = field[3];
		close(fd[i]);
	}
	backend->regions = n;
}

/* --- queues ---------------------------------------------------------------------------------- */

/* Answers the chain at @head. Returns the bytes written. */
static uint32_t answer(struct fake_backend *backend, const struct vring_desc *desc, uint16_t head)
{
	const struct fuse_in_header *in = gpa_at(backend, desc[head].addr);
	struct fuse_out_header out = {.len = sizeof(out), .unique = in->unique};

	if (backend->config) {
		unsigned int last = head;
		while (desc[last].flags & VRING_DESC_F_NEXT)
			last = desc[last].next;
		*(uint8_t *)gpa_at(backend, desc[last].addr + desc[last].len - 1) = backend->status;
		return desc[last].len;
	}
	for (unsigned int i = head; desc[i].flags & VRING_DESC_F_NEXT; i = desc[i].next) {
		const struct vring_desc *next = &desc[desc[i].next];
		if (!(next->flags & VRING_DESC_F_WRITE))
			continue;
		memcpy(gpa_at(backend, next->addr), &out, sizeof(out));
		return sizeof(out);
	}
	return 0;
}

static void serve(struct fake_backend *backend, unsigned int queue)
{
	const struct vring_desc *desc = user_at(backend, backend->queue[queue].desc);
	struct vring_avail *avail = user_at(backend, backend->queue[queue].avail);
	struct vring_used *used = user_at(backend, backend->queue[queue].used);
	uint32_t size = backend->queue[queue].size;
	uint16_t *next = &backend->queue[queue].next_avail;

	while (!backend->waits && *next != __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE)) {
		uint16_t head = avail->ring[(*next)++ % size];
		atomic_fetch_add(&backend->taken, 1);
		if (backend->holds)
			continue;
		struct vring_used_elem *slot =
			&used->ring[backend->queue[queue].next_used++ % size];
		slot->id = backend->bad_used ? size : head;
		slot->len = answer(backend, desc, head);
		__atomic_store_n(&used->idx, backend->queue[queue].next_used, __ATOMIC_RELEASE);
		atomic_fetch_add(&backend->returned, 1);
		wake_ring(backend->queue[queue].call);
	}
}

/* --- messages -------------------------------------------------------------------------------- */

static bool get(struct fake_backend *backend, void *data, size_t len, int *fd, unsigned int *fds)
{
	union {
		char space[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	size_t got = 0;

	while (got < len) {
		struct iovec iov = {(uint8_t *)data + got, len - got};
		struct msghdr message = {.msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_control = control.space,
					 .msg_controllen = sizeof(control.space)};
		ssize_t n = recvmsg(backend->socket, &message, MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return false;
		got += (size_t)n;
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		if (c && c->cmsg_type == SCM_RIGHTS) {
			*fds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fd, CMSG_DATA(c), *fds * sizeof(int));
		}
	}
	return true;
}

static void send_bytes(struct fake_backend *backend, const uint8_t *data, size_t len, bool with_fds)
{
	union {
		char space[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	int fd[2] = {backend->socket, backend->stop};
	struct iovec iov = {(void *)data, len};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (with_fds) {
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), fd, sizeof(fd));
	}
	sendmsg(backend->socket, &message, MSG_NOSIGNAL);
}

/* Returns false if the backend ends by this. */
static bool reply(struct fake_backend *backend, uint32_t request, uint64_t value)
{
	uint32_t header[3] = {request, 5, 8};
	uint8_t bytes[VHOST_USER_REPLY_MAX];
	size_t len = sizeof(bytes);
	enum lie lie = request == backend->lies_at ? backend->lie : HONEST;

	if (lie == WRONG_SIZE)
		header[2] = 4;
	else if (lie == HUGE_SIZE)
		header[2] = UINT32_MAX;
	else if (lie == WRONG_NUMBER)
		header[0] = request + 1;
	else if (lie == NO_REPLY_FLAG)
		header[1] = 1;
	else if (lie == REFUSES)
		value = 1;
	memcpy(bytes, header, sizeof(header));
	memcpy(bytes + sizeof(header), &value, sizeof(value));
	if (lie == HALF)
		len = 7;
	if (lie == SILENT)
		return true;
	if (lie != CLOSES)
		send_bytes(backend, bytes, len, lie == WITH_FDS);
	return lie != CLOSES && lie != HALF;
}

/* Returns false if the backend ends by this. */
static bool reply_config(struct fake_backend *backend, uint32_t asked)
{
	enum lie lie = backend->lies_at == VHOST_USER_GET_CONFIG ? backend->lie : HONEST;
	uint32_t fields[6] = {
		VHOST_USER_GET_CONFIG, 5, VHOST_USER_CONFIG_HEADER + asked, 0, asked, 0};
	uint8_t bytes[VHOST_USER_MESSAGE_MAX];
	size_t len = sizeof(fields) + asked;

	if (lie == WRONG_SIZE)
		fields[2] = 4;
	else if (lie == HUGE_SIZE)
		fields[4] = UINT32_MAX;
	else if (lie == WRONG_NUMBER)
		fields[0]++;
	else if (lie == NO_REPLY_FLAG)
		fields[1] = 1;
	else if (lie == REFUSES)
		fields[2] = 0;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, fields, sizeof(fields));
	memcpy(bytes + sizeof(fields), backend->config,
	       asked < backend->config_len ? asked : backend->config_len);
	if (lie == HALF)
		len = 30;
	if (lie == SILENT)
		return true;
	if (lie != CLOSES)
		send_bytes(backend, bytes, len, lie == WITH_FDS);
	return lie != CLOSES && lie != HALF;
}

static uint64_t queue_message(struct fake_backend *backend, uint32_t request,
			      const uint8_t *payload, const int *fd, unsigned int fds)
{
	uint32_t field[2];

	memcpy(field, payload, sizeof(field));
	ck_assert_uint_lt(field[0], BACKEND_QUEUES);
	unsigned int i = field[0];
	switch (request) {
	case VHOST_USER_SET_VRING_NUM:
		backend->queue[i].size = field[1];
		return 0;
	case VHOST_USER_SET_VRING_BASE:
		backend->queue[i].next_avail = (uint16_t)field[1];
		return 0;
	case VHOST_USER_SET_VRING_ADDR:
		memcpy(&backend->queue[i].desc, payload + 8, 8);
		memcpy(&backend->queue[i].used, payload + 16, 8);
		memcpy(&backend->queue[i].avail, payload + 24, 8);
		struct vring_used *used = user_at(backend, backend->queue[i].used);
		ck_assert_ptr_nonnull(used);
		backend->queue[i].next_used = used->idx;
		return 0;
	case VHOST_USER_SET_VRING_KICK:
		ck_assert_uint_eq(fds, 1);
		backend->queue[i].kick = fd[0];
		return 0;
	case VHOST_USER_SET_VRING_CALL:
		ck_assert_uint_eq(fds, 1);
		backend->queue[i].call = fd[0];
		return 0;
	case VHOST_USER_GET_VRING_BASE:
		close(backend->queue[i].kick);
		close(backend->queue[i].call);
		backend->queue[i].kick = backend->queue[i].call = -1;
		return (uint64_t)backend->queue[i].next_avail << 32 | i;
	default:
		ck_assert_uint_eq(request, VHOST_USER_SET_VRING_ENABLE);
		return 0;
	}
}

/* Serves one message. Returns false at the end. */
static bool hear(struct fake_backend *backend)
{
	uint32_t header[3];
	uint8_t payload[VHOST_USER_MESSAGE_MAX];
	unsigned int fds = 0, none;
	int fd[8];
	uint64_t value = 0;

	if (!get(backend, header, sizeof(header), fd, &fds))
		return false;
	ck_assert_uint_eq(header[1] & 3, 1);
	ck_assert_uint_le(header[2], sizeof(payload) - VHOST_USER_HEADER_SIZE);
	if (header[2] && !get(backend, payload, header[2], fd, &none))
		return false;
	unsigned int at = atomic_load(&backend->requests);
	ck_assert_uint_lt(at, BACKEND_REQUESTS);
	backend->request[at] = header[0];
	backend->fds[at] = fds;
	atomic_store(&backend->requests, at + 1);
	bool answers = header[1] & 8;
	switch (header[0]) {
	case VHOST_USER_GET_FEATURES:
		value = backend->features;
		answers = true;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		value = backend->protocol;
		answers = true;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		map_memory(backend, payload, fd);
		break;
	case VHOST_USER_GET_CONFIG:
		return reply_config(backend, header[2] - VHOST_USER_CONFIG_HEADER);
	case VHOST_USER_SET_OWNER:
	case VHOST_USER_SET_FEATURES:
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		break;
	default:
		value = queue_message(backend, header[0], payload, fd, fds);
		answers = answers || header[0] == VHOST_USER_GET_VRING_BASE;
	}
	return !answers || reply(backend, header[0], value);
}

static void *run(void *ctx)
{
	struct fake_backend *backend = ctx;

	for (bool on = true; on;) {
		struct pollfd fds[2 + BACKEND_QUEUES] = {
			{.fd = backend->socket, .events = POLLIN},
			{.fd = backend->stop, .events = POLLIN},
		};
		for (unsigned int i = 0; i < BACKEND_QUEUES; i++)
			fds[2 + i] =
				(struct pollfd){.fd = backend->queue[i].kick, .events = POLLIN};
		poll(fds, 2 + BACKEND_QUEUES, -1);
		if (fds[1].revents)
			break;
		for (unsigned int i = 0; i < BACKEND_QUEUES; i++)
			if (fds[2 + i].revents && wake_take(backend->queue[i].kick))
				serve(backend, i);
		if (fds[0].revents)
			on = hear(backend);
	}
	forget_memory(backend);
	for (unsigned int i = 0; i < BACKEND_QUEUES; i++) {
		if (backend->queue[i].kick >= 0)
			close(backend->queue[i].kick);
		if (backend->queue[i].call >= 0)
			close(backend->queue[i].call);
	}
	/* The other end sees the end; the number stays taken. */
	shutdown(backend->socket, SHUT_RDWR);
	return NULL;
}

int fake_backend_start(struct fake_backend *backend)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	backend->socket = pair[1];
	backend->stop = wake_open();
	backend->regions = 0;
	for (unsigned int i = 0; i < BACKEND_QUEUES; i++)
		backend->queue[i].kick = backend->queue[i].call = -1;
	ck_assert_int_eq(pthread_create(&backend->thread, NULL, run, backend), 0);
	backend->runs = true;
	return pair[0];
}

void fake_backend_kill(struct fake_backend *backend)
{
	if (!backend->runs)
		return;
	wake_ring(backend->stop);
	pthread_join(backend->thread, NULL);
	close(backend->stop);
	close(backend->socket);
	backend->runs = false;
}
