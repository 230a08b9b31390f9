// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-net/stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH sizeof(uint32_t)

static struct stream *stream_of(struct net_backend *backend)
{
	return (struct stream *)((char *)backend - offsetof(struct stream, backend));
}

/* Returns -EAGAIN for a passing @error, -EPIPE for the end of the stream. */
static int why(int error)
{
	return error == EAGAIN ? -EAGAIN : -EPIPE;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Sends the pending bytes. Returns 0 if none is left, or as why(). */
static int send_rest(struct stream *stream)
{
	while (stream->sent < stream->pending) {
		ssize_t sent = send(stream->backend.fd, stream->out + stream->sent,
				    stream->pending - stream->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return why(errno);
		stream->sent += (size_t)sent;
	}
	return 0;
}

/* Keeps the rest of the frame after its first @sent bytes. */
static void keep_rest(struct stream *stream, const struct iovec *iov, unsigned int n, size_t sent)
{
	stream->sent = 0;
	stream->pending = 0;
	for (unsigned int i = 0; i < n; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
		sent -= skip;
		memcpy(stream->out + stream->pending, (const uint8_t *)iov[i].iov_base + skip,
		       iov[i].iov_len - skip);
		stream->pending += iov[i].iov_len - skip;
	}
}

static int stream_send(struct net_backend *backend, const struct virtio_net_hdr_v1 *header,
		       struct iovec *iov, unsigned int n, size_t len)
{
	struct stream *stream = stream_of(backend);
	uint32_t length = htobe32((uint32_t)len);

	(void)header; /* no offload was offered */
	if (len > STREAM_FRAME_MAX)
		return -EMSGSIZE;
	int error = send_rest(stream);
	if (error)
		return error;
	iov[0] = (struct iovec){&length, LENGTH};
	const struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent = sendmsg(backend->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		/*
		 * If the host is short of memory, also for the guest's pages, only this frame is
		 * lost.
		 */
		return errno == EFAULT || errno == ENOBUFS || errno == ENOMEM ? -errno : why(errno);
	if ((size_t)sent < LENGTH + len)
		keep_rest(stream, iov, n, (size_t)sent);
	return 0;
}

static void stream_flush(struct net_backend *backend)
{
	send_rest(stream_of(backend));
}

/* --- receiving ------------------------------------------------------------------------------- */

/*
 * Returns the length of the next frame, 0 if a part of it is missing yet, or -EPIPE if no frame has
 * it.
 */
static ssize_t frame_length(const struct stream *stream)
{
	size_t there = stream->end - stream->start;
	uint32_t length;

	if (there < LENGTH)
		return 0;
	memcpy(&length, stream->in + stream->start, LENGTH);
	length = be32toh(length);
	if (length < NET_FRAME_MIN || length > STREAM_FRAME_MAX)
		return -EPIPE;
	return there - LENGTH < length ? 0 : (ssize_t)length;
}

/* Reads all bytes that have arrived. Returns 0, or as why(). */
static int read_more(struct stream *stream)
{
	size_t there = stream->end - stream->start;

	/* Less than a frame: the other half has room for the rest of it. */
	memmove(stream->in, stream->in + stream->start, there);
	stream->start = 0;
	stream->end = there;
	ssize_t got = recv(stream->backend.fd, stream->in + there, sizeof(stream->in) - there,
			   MSG_DONTWAIT);
	if (got < 0)
		return why(errno);
	stream->end += (size_t)got;
	return got == 0 ? -EPIPE : 0;
}

static ssize_t stream_receive(struct net_backend *backend, struct virtio_net_hdr_v1 *header,
			      const uint8_t **frame)
{
	struct stream *stream = stream_of(backend);
	ssize_t length;

	while ((length = frame_length(stream)) == 0) {
		int error = read_more(stream);
		if (error)
			return error;
	}
	if (length < 0)
		return length;
	*header = (struct virtio_net_hdr_v1){0};
	*frame = stream->in + stream->start + LENGTH;
	stream->start += LENGTH + (size_t)length;
	return length;
}

/* --------------------------------------------------------------------------------------------- */

static const struct net_backend_ops stream_ops = {
	.send = stream_send,
	.receive = stream_receive,
	.flush = stream_flush,
};

void stream_init(struct stream *stream)
{
	stream->backend = (struct net_backend){.ops = &stream_ops, .fd = -1};
	stream->start = stream->end = 0;
	stream->sent = stream->pending = 0;
}

void stream_attach(struct stream *stream, int fd)
{
	stream_detach(stream);
	stream->backend.fd = fd;
}

void stream_detach(struct stream *stream)
{
	if (stream->backend.fd >= 0)
		close(stream->backend.fd);
	stream_init(stream);
}

void stream_release(struct stream *stream)
{
	if (stream->backend.ops)
		stream_detach(stream);
}
