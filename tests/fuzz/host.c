// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/host.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"
#include "vmm/lib/worker.h"

#define FIRST 1000 /* no descriptor of the fuzzer itself */
#define MOST  64

enum kind { CLOSED, EVENT, SOCKET };

static struct {
	uint64_t now;
	enum kind kind[MOST];
	bool rung[MOST];
	struct {
		uint8_t in[HOST_SOCKET_ROOM];
		size_t start, end;
		size_t room;
		int error;
		bool ended;
		void (*sent)(const uint8_t *bytes, size_t len);
		void (*waited)(void);
	} peer;
	const uint8_t *file;
	size_t file_size;
} host;

void fuzz_broken(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, condition);
	abort();
}

void host_reset(void)
{
	host.now = 1000 * NS_PER_S;
	memset(host.kind, 0, sizeof(host.kind));
	memset(host.rung, 0, sizeof(host.rung));
	host.peer.start = host.peer.end = 0;
	host.peer.room = SIZE_MAX;
	host.peer.error = 0;
	host.peer.ended = false;
	host.peer.sent = NULL;
	host.peer.waited = NULL;
	host.file = NULL;
	host.file_size = 0;
}

void host_time_passes(uint64_t ns)
{
	host.now += ns;
}

/* --- descriptors ----------------------------------------------------------------------------- */

static int make(enum kind kind)
{
	for (int i = 0; i < MOST; i++) {
		if (host.kind[i] != CLOSED)
			continue;
		host.kind[i] = kind;
		host.rung[i] = false;
		return FIRST + i;
	}
	errno = EMFILE;
	return -EMFILE;
}

static bool is_ours(int fd)
{
	return fd >= FIRST && fd < FIRST + MOST;
}

int host_eventfd(void)
{
	return make(EVENT);
}

int host_socket(void)
{
	host.peer.start = host.peer.end = 0;
	host.peer.room = SIZE_MAX;
	host.peer.error = 0;
	host.peer.ended = false;
	return make(SOCKET);
}

unsigned int host_open(void)
{
	unsigned int n = 0;
	for (int i = 0; i < MOST; i++)
		n += host.kind[i] != CLOSED;
	return n;
}

/* --- vmm/lib/wake.c -------------------------------------------------------------------------- */

int wake_open(void)
{
	return make(EVENT);
}

int wake_timer_open(void)
{
	return make(EVENT);
}

void wake_ring(int fd)
{
	MUST(is_ours(fd) && host.kind[fd - FIRST] == EVENT);
	host.rung[fd - FIRST] = true;
}

bool wake_take(int fd)
{
	MUST(is_ours(fd) && host.kind[fd - FIRST] == EVENT);
	bool rung = host.rung[fd - FIRST];
	host.rung[fd - FIRST] = false;
	return rung;
}

int wake_timer_at(int fd, uint64_t ns)
{
	(void)ns;
	MUST(is_ours(fd));
	return 0;
}

int wake_timer_every(int fd, unsigned int seconds)
{
	(void)seconds;
	MUST(is_ours(fd));
	return 0;
}

/* --- vmm/lib/worker.c ------------------------------------------------------------------------ */

bool worker_set_patient(bool patient)
{
	(void)patient;
	return true;
}

/* --- vmm/lib/log.c: as there, but that nobody reads it (the target "words" has text_escape()) ---- */

static void drop(const char *format, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
}

#define DROP(format)                                                                               \
	do {                                                                                       \
		va_list args;                                                                      \
		va_start(args, format);                                                            \
		drop(format, args);                                                                \
		va_end(args);                                                                      \
	} while (0)

void log_info(const char *format, ...)
{
	DROP(format);
}

void log_error(const char *format, ...)
{
	DROP(format);
}

void log_warn(const char *format, ...)
{
	DROP(format);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	if (atomic_fetch_add(&limit->lines, 1) < LOG_LIMIT_LINES)
		DROP(format);
}

void log_attach(struct loop *loop)
{
	(void)loop;
}

void log_detach(struct loop *loop)
{
	(void)loop;
}

/* --- the peer -------------------------------------------------------------------------------- */

void host_peer_writes(const void *bytes, size_t len)
{
	if (host.peer.start == host.peer.end)
		host.peer.start = host.peer.end = 0;
	if (len > sizeof(host.peer.in) - host.peer.end)
		len = sizeof(host.peer.in) - host.peer.end;
	memcpy(host.peer.in + host.peer.end, bytes, len);
	host.peer.end += len;
}

void host_peer_closes(void)
{
	host.peer.ended = true;
}

void host_peer_reads(size_t room, int error)
{
	host.peer.room = room;
	host.peer.error = error;
}

void host_on_sent(void (*sent)(const uint8_t *bytes, size_t len))
{
	host.peer.sent = sent;
}

void host_on_wait(void (*waited)(void))
{
	host.peer.waited = waited;
}

void host_file(const void *bytes, size_t len)
{
	host.file = bytes;
	host.file_size = len;
}

/* --- the C library's ------------------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t len, int flags);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int n);
ssize_t __real_readv(int fd, const struct iovec *iov, int n);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_shutdown(int fd, int how);
int __real_shutdown(int fd, int how);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_close(int fd);
int __real_close(int fd);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = clock_timespec(host.now);
	return 0;
}

static bool is_socket(int fd)
{
	MUST(fd == -1 || (is_ours(fd) && host.kind[fd - FIRST] == SOCKET));
	errno = EBADF;
	return fd != -1;
}

/* Returns how many of @len bytes the socket takes, or -1 with errno set. */
static ssize_t room_for(size_t len)
{
	errno = host.peer.ended ? EPIPE : host.peer.error ? host.peer.error : EAGAIN;
	if (host.peer.ended || host.peer.error || (host.peer.room == 0 && len > 0))
		return -1;
	if (len > host.peer.room)
		len = host.peer.room;
	if (host.peer.room != SIZE_MAX)
		host.peer.room -= len;
	return (ssize_t)len;
}

static void pass_on(const void *bytes, size_t len)
{
	volatile uint8_t sum = 0;

	/* The kernel reads all of it: so does this, for ASan. */
	for (size_t i = 0; i < len; i += 64)
		sum = sum + ((const uint8_t *)bytes)[i];
	if (len)
		sum = sum + ((const uint8_t *)bytes)[len - 1];
	if (host.peer.sent)
		host.peer.sent(bytes, len);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	size_t len = 0;

	(void)flags;
	if (!is_socket(fd))
		return -1;
	for (size_t i = 0; i < message->msg_iovlen; i++)
		len += message->msg_iov[i].iov_len;
	ssize_t taken = room_for(len);
	size_t left = taken > 0 ? (size_t)taken : 0;
	for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
		size_t piece = message->msg_iov[i].iov_len;
		if (piece > left)
			piece = left;
		pass_on(message->msg_iov[i].iov_base, piece);
		left -= piece;
	}
	return taken;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	struct iovec iov = {(void *)bytes, len};
	const struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	return __wrap_sendmsg(fd, &message, flags);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t len, int flags)
{
	size_t there = host.peer.end - host.peer.start;

	if (!is_socket(fd))
		return -1;
	if (there == 0) {
		errno = EAGAIN;
		return host.peer.ended ? 0 : -1;
	}
	if (len > there)
		len = there;
	memcpy(bytes, host.peer.in + host.peer.start, len);
	if (!(flags & MSG_PEEK))
		host.peer.start += len;
	return (ssize_t)len;
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int n)
{
	ssize_t sum = 0;

	if (!is_ours(fd))
		return __real_readv(fd, iov, n);
	for (int i = 0; i < n; i++) {
		ssize_t got = __wrap_recv(fd, iov[i].iov_base, iov[i].iov_len, 0);
		if (got < 0)
			return sum ? sum : got;
		sum += got;
		if ((size_t)got < iov[i].iov_len)
			break;
	}
	return sum;
}

/* Somebody always waits. */
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	(void)address, (void)len, (void)flags;
	if (!is_socket(fd))
		return -1;
	int socket = host_socket();
	errno = socket < 0 ? -socket : 0;
	return socket < 0 ? -1 : socket;
}

int __wrap_shutdown(int fd, int how)
{
	return is_ours(fd) ? 0 : __real_shutdown(fd, how);
}

static short ready(int fd)
{
	bool in = host.peer.end > host.peer.start || host.peer.ended;
	bool out = host.peer.room > 0 || host.peer.ended || host.peer.error;

	if (is_ours(fd) && host.kind[fd - FIRST] == EVENT)
		return host.rung[fd - FIRST] ? POLLIN : 0;
	is_socket(fd);
	return (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
}

static int poll_once(struct pollfd *fds, nfds_t n)
{
	int count = 0;

	for (nfds_t i = 0; i < n; i++) {
		fds[i].revents = fds[i].events & ready(fds[i].fd);
		count += fds[i].revents != 0;
	}
	return count;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	MUST(timeout >= 0);
	int count = poll_once(fds, n);
	if (count == 0 && host.peer.waited) {
		/* It takes its time, so that ebb, which may wait for more than there is, comes to its limit. */
		host_time_passes(100 * NS_PER_MS);
		host.peer.waited();
		count = poll_once(fds, n);
	}
	if (count == 0)
		host_time_passes((uint64_t)timeout * NS_PER_MS);
	return count;
}

int __wrap_close(int fd)
{
	if (!is_ours(fd))
		return __real_close(fd);
	MUST(host.kind[fd - FIRST] != CLOSED);
	host.kind[fd - FIRST] = CLOSED;
	return 0;
}

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset)
{
	if (fd != HOST_FILE || !host.file)
		return __real_pread(fd, bytes, len, offset);
	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	if ((uint64_t)offset >= host.file_size)
		return 0;
	if (len > host.file_size - (size_t)offset)
		len = host.file_size - (size_t)offset;
	memcpy(bytes, host.file + offset, len);
	return (ssize_t)len;
}
