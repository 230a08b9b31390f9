// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-rng/rng.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

/* Fewer bytes are not worth a turn of the worker. */
#define LEAST 64
/* Chains in one turn, which a reset waits for. */
#define TURN 16
/* A host that has just started may itself have no entropy yet. */
#define RETRY_NS (100 * NS_PER_MS)

static struct rng *rng_of(struct virtio_device *dev)
{
	return (struct rng *)((char *)dev - offsetof(struct rng, dev));
}

/* Returns how many bytes were written to the chain, or -EPROTO if it must not be written. */
static ssize_t fill(struct rng *rng, const struct virtq_chain *chain, const uint8_t *data,
		    size_t len)
{
	size_t done = 0;
	if (chain->readable != 0)
		return -EPROTO;
	for (unsigned int i = 0; i < chain->buffers && done < len; i++) {
		uint64_t piece = chain->buffer[i].len;
		if (piece > len - done)
			piece = len - done;
		if (ram_write(rng->dev.host->ram, chain->buffer[i].gpa, data + done, piece))
			return -EPROTO;
		done += piece;
	}
	return (ssize_t)done;
}

/* Serves one chain with @len bytes at most. Returns 0, or as the device's work(). */
static int serve(struct rng *rng, unsigned int queue, size_t len)
{
	struct virtio_device *dev = &rng->dev;
	struct virtq *q = &dev->queue[queue];
	struct virtq_chain chain;
	uint8_t data[RNG_REQUEST_MAX];

	ssize_t got = rng->random(data, len, GRND_NONBLOCK);
	if (got <= 0) {
		if (!rng->failure_logged)
			log_warn("the host has no random numbers for the guest yet: %s (said once)",
				 strerror(errno));
		rng->failure_logged = true;
		dev->host->defer_until(dev->host->ctx, queue, clock_ns() + RETRY_NS);
		return 0;
	}
	int popped = virtq_pop(q, &chain);
	ssize_t given = popped > 0 ? fill(rng, &chain, data, (size_t)got) : popped;
	/* The guest's bytes must not be found here later. */
	explicit_bzero(data, sizeof(data));
	/* The driver may have taken the chain back a moment ago. */
	if (popped == 0 || given < 0)
		return (int)given;
	virtq_push(q, &chain, (uint32_t)given);
	/* A chain for a single byte is as much work as one for LEAST. */
	pace_spend(&rng->pace, given > LEAST ? (uint64_t)given : LEAST);
	atomic_fetch_add(&rng->bytes, (unsigned long long)given);
	return -EAGAIN;
}

static int rng_work(struct virtio_device *dev, unsigned int queue)
{
	struct rng *rng = rng_of(dev);
	int result = -EAGAIN;

	for (unsigned int i = 0; i < TURN && result == -EAGAIN; i++) {
		if (virtq_empty(&dev->queue[queue]))
			return 0;
		uint64_t left = pace_left(&rng->pace, clock_ns());
		if (left < LEAST) {
			dev->host->defer_until(dev->host->ctx, queue, pace_when(&rng->pace, LEAST));
			return 0;
		}
		result = serve(rng, queue, left < RNG_REQUEST_MAX ? left : RNG_REQUEST_MAX);
	}
	return result;
}

/* Between two turns it holds nothing, and its pace is the host's. */
static void rng_save(struct virtio_device *dev, struct record *record)
{
	(void)dev, (void)record;
}

static int rng_restore(struct virtio_device *dev, struct record_in *in)
{
	(void)in;
	return virtio_queues_hold(dev, 0, 0) ? 0 : -EINVAL;
}

static const struct virtio_device_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.name = "rng",
	.paced = true,
	.work = rng_work,
	.save = rng_save,
	.restore = rng_restore,
};

void rng_init(struct rng *rng, const struct virtio_host *host)
{
	*rng = (struct rng){
		.dev =
			{
				.ops = &rng_ops,
				.host = host,
				.features_offered = VIRTIO_FEATURES,
				.queues = 1,
			},
		.random = getrandom,
		.pace = pace_start(RNG_BYTES_PER_S, RNG_BURST, clock_ns()),
	};
	rng->dev.queue[0].size_max = 64;
}
