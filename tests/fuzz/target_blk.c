// SPDX-License-Identifier: Apache-2.0
/*
 * A disk in memory, whose host fails, moves less than it was asked to, or takes its time: requests one by
 * one, and several at once through an io_uring that is none.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-blk/blk.h"
#include "devices/virtio-blk/internal.h"
#include "devices/virtio-blk/ring.h"
#include "tests/fuzz/guest.h"
#include "vmm/lib/wake.h"

#define DISK_SIZE 65536
#define FD	  5

/* Of the machine's record. */
#define READ_ONLY   0x01
#define WITH_RING   0x02
#define PAST_CACHE  0x04 /* O_DIRECT */
#define NO_DISCARDS 0x08
#define BIG_BLOCKS  0x10 /* of 4 KiB */

static uint8_t disk[DISK_SIZE];
static struct {
	int error;	    /* what the next call fails with */
	unsigned int after; /* so many calls later */
	size_t most;	    /* bytes that a call moves; 0: all */
	uint64_t size;	    /* the file's */
	uint64_t hole;	    /* data begins there */
	int no_fallocate;   /* the error that every fallocate() has */
} file;

/* --- the file -------------------------------------------------------------------------------- */

static bool fails(void)
{
	if (!file.error || (file.after && file.after--))
		return false;
	errno = file.error;
	file.error = 0;
	return true;
}

static struct blk blk, made[2];

/* Past the page cache: memory and lengths are whole blocks by ebb's care, the place by the driver's. */
static bool is_whole(const struct iovec *iov, int n, off_t offset)
{
	MUST(image_fits(&blk.image, iov, (unsigned int)n));
	errno = EINVAL;
	return !blk.image.direct || offset % blk.image.block_size == 0;
}

static ssize_t move(const struct iovec *iov, int n, off_t offset, bool write)
{
	size_t done = 0, most = file.most ? file.most : SIZE_MAX;

	MUST(n > 0 && n <= 1024 && offset >= 0 && offset < DISK_SIZE);
	if (!is_whole(iov, n, offset) || fails())
		return -1;
	for (int i = 0; i < n && done < most; i++) {
		size_t at = (size_t)offset + done, len = iov[i].iov_len;
		if (at >= file.size && !write)
			break;
		if (!write && len > file.size - at)
			len = file.size - at;
		if (len > most - done)
			len = most - done;
		/* Never beyond the disk that the guest sees. */
		MUST(at + len <= DISK_SIZE);
		if (write)
			memcpy(disk + at, iov[i].iov_base, len);
		else
			memcpy(iov[i].iov_base, disk + at, len);
		done += len;
		if (write && at + len > file.size)
			file.size = at + len;
	}
	return (ssize_t)done;
}

static ssize_t file_preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	MUST(fd == FD);
	return move(iov, n, offset, false);
}

static ssize_t file_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	MUST(fd == FD);
	return move(iov, n, offset, true);
}

static int file_fallocate(int fd, int mode, off_t offset, off_t len)
{
	MUST(fd == FD && mode & FALLOC_FL_KEEP_SIZE && offset >= 0 && len > 0);
	MUST(offset + len <= DISK_SIZE);
	if (file.no_fallocate) {
		errno = file.no_fallocate;
		return -1;
	}
	if (fails())
		return -1;
	memset(disk + offset, 0, (size_t)len);
	return 0;
}

static int file_fdatasync(int fd)
{
	MUST(fd == FD);
	return fails() ? -1 : 0;
}

static off_t file_lseek(int fd, off_t offset, int whence)
{
	MUST(fd == FD);
	if (whence == SEEK_END)
		return (off_t)file.size;
	if (fails())
		return -1;
	errno = ENXIO;
	if ((uint64_t)offset >= file.size || (whence == SEEK_DATA && file.hole >= file.size))
		return -1;
	if (whence == SEEK_DATA)
		return (uint64_t)offset < file.hole ? (off_t)file.hole : offset;
	return (uint64_t)offset < file.hole ? offset : (off_t)file.size;
}

static const struct image_calls calls = {
	.preadv = file_preadv,
	.pwritev = file_pwritev,
	.fallocate = file_fallocate,
	.fdatasync = file_fdatasync,
	.lseek = file_lseek,
};

int image_open(struct image *image, const char *path, unsigned int flags)
{
	(void)path, (void)flags;
	*image = (struct image){
		.calls = &calls, .fd = FD, .size = DISK_SIZE, .block_size = 512, .discards = true};
	return 0;
}

void image_close(struct image *image)
{
	image->fd = -1;
}

/* --- devices/virtio-blk/ring.c --------------------------------------------------------------- */

struct ring {
	unsigned int depth, out, started;
	unsigned int left; /* jobs that are done before it holds the others; 0: all */
	int bell;
	bool quiet, holds, refuses, backwards, mute;
	struct ring_job job[BLK_DEPTH];
};

int ring_open(struct ring **ring, unsigned int depth)
{
	MUST(depth <= BLK_DEPTH);
	*ring = calloc(1, sizeof(**ring));
	(*ring)->depth = depth;
	(*ring)->bell = -1;
	return 0;
}

void ring_close(struct ring *ring)
{
	free(ring);
}

int ring_set_bell(struct ring *ring, int fd)
{
	if (ring->mute)
		return -ENOMEM;
	ring->bell = fd;
	return 0;
}

void ring_quiet(struct ring *ring, bool quiet)
{
	ring->quiet = quiet;
}

void ring_add(struct ring *ring, const struct ring_job *job)
{
	MUST(ring->out < ring->depth && job->tag < BLK_DEPTH);
	for (unsigned int i = 0; i < ring->out; i++)
		MUST(ring->job[i].tag != job->tag);
	ring->job[ring->out++] = *job;
}

static void ring_the_bell(struct ring *ring)
{
	if (ring->out > 0 && !ring->quiet && !ring->holds && ring->bell >= 0)
		wake_ring(ring->bell);
}

int ring_submit(struct ring *ring)
{
	bool refused = ring->refuses;

	ring->refuses = false;
	if (refused)
		return -EBUSY;
	ring->started = ring->out;
	ring_the_bell(ring);
	return 0;
}

/* The host reads and writes the buffers at the end: they must still be there. */
static int carry_out(const struct ring_job *job)
{
	ssize_t result;

	MUST(job->fd == FD);
	if (job->kind == RING_FLUSH)
		result = file_fdatasync(job->fd);
	else
		result = move(job->iov, (int)job->n, (off_t)job->offset, job->kind == RING_WRITE);
	return result < 0 ? -errno : (int)result;
}

bool ring_take(struct ring *ring, unsigned int *tag, int *result)
{
	if (ring->holds || ring->started == 0)
		return false;
	unsigned int i = ring->backwards ? ring->started - 1 : 0;
	const struct ring_job job = ring->job[i];
	ring->out--;
	ring->started--;
	if (ring->left && --ring->left == 0)
		ring->holds = true;
	memmove(&ring->job[i], &ring->job[i + 1], (ring->out - i) * sizeof(ring->job[0]));
	*tag = job.tag;
	*result = carry_out(&job);
	return true;
}

void ring_wait(struct ring *ring)
{
	ring->holds = false;
}

/* --------------------------------------------------------------------------------------------- */

static struct ring *ring;

static void make(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct blk_config config = {
			.file = "disk", .one_by_one = i == 0, .id = "fuzz"};
		MUST(blk_init(&made[i], &config, &guest.host) == 0);
	}
	ring = made[1].queue[0].ring;
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	const unsigned int changing = 1U << VIRTIO_BLK_F_DISCARD | 1U << VIRTIO_BLK_F_WRITE_ZEROES;

	if (!ring)
		make();
	memset(disk, 0xd1, sizeof(disk));
	memset(&file, 0, sizeof(file));
	file.size = DISK_SIZE;
	*ring = (struct ring){.depth = BLK_DEPTH, .bell = -1};
	memcpy(&blk, &made[!!(machine->a & WITH_RING)], sizeof(blk));
	blk.queue[0].blk = &blk;
	blk.queue[0].virtq = &blk.dev.queue[0];
	blk.image.direct = machine->a & PAST_CACHE;
	blk.image.block_size = machine->a & BIG_BLOCKS ? 4096 : 512;
	blk.image.discards = !(machine->a & NO_DISCARDS);
	blk.image.read_only = machine->a & READ_ONLY;
	if (blk.image.read_only) {
		blk.dev.features_offered &= ~(uint64_t)changing;
		blk.dev.features_offered |= 1U << VIRTIO_BLK_F_RO;
	}
	return &blk.dev;
}

static void event(const struct guest_record *record)
{
	static const int errors[] = {EIO,    ENOSPC, EINTR,	 EAGAIN,
				     EFAULT, EINVAL, EOPNOTSUPP, ENOMEM};

	switch (record->a % 8) {
	case 0:
		file.error = errors[record->b % 8];
		file.after = record->b >> 8;
		break;
	case 1:
		file.most = record->b;
		break;
	case 2:
		file.size = record->c % (DISK_SIZE + 1);
		break;
	case 3:
		file.hole = record->c % (2 * DISK_SIZE);
		break;
	case 4:
		file.no_fallocate = record->b & 1 ? EOPNOTSUPP : 0;
		break;
	case 5:
		ring->holds = record->b & 1;
		ring->backwards = record->b & 2;
		ring->left = record->b >> 2 & 7;
		ring_the_bell(ring);
		break;
	case 6:
		ring->refuses = record->b & 1;
		ring->mute = record->b & 2;
		break;
	default:
		blk.image.lost = 0; /* the host's storage was repaired, and the guest restarted */
	}
}

static void check(void)
{
	MUST(blk.queue[0].flying <= BLK_DEPTH && blk.queue[0].flying == ring->out);
}

static unsigned int held(unsigned int queue)
{
	return blk.queue[queue].busy + blk.queue[queue].flying;
}

static void unplug(void)
{
	MUST(ring->out == 0);
}

static size_t payload(uint32_t random, uint8_t *data)
{
	static const uint8_t types[] = {VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
					VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
					VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	const struct virtio_blk_outhdr header = {.type = htole32(types[random % 6]),
						 .sector = htole64(random >> 8 & 0x7f)};
	const struct virtio_blk_discard_write_zeroes range = {.sector = htole64(random >> 8 & 0x7f),
							      .num_sectors =
								      htole32(random >> 16 & 0x3f),
							      .flags = htole32(random >> 24 & 1)};

	if (random >> 30 == 0) {
		memcpy(data, &range, sizeof(range));
		return sizeof(range);
	}
	memcpy(data, &header, sizeof(header));
	return sizeof(header);
}

static const uint16_t lengths[] = {512, 1024, 4096, 16, 32, 20, 513, 32768};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.check = check,
	.held = held,
	.shape = {.first = sizeof(struct virtio_blk_outhdr),
		  .last = 1,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
