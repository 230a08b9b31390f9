// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-pmem/pmem.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* §5.19.4, §5.19.6; older headers lack them. */
struct pmem_registers {
	uint64_t start;
	uint64_t size;
};
#define TYPE_FLUSH 0
#define OK	   0
#define FAILED	   1

static struct pmem *pmem_of(struct virtio_device *dev)
{
	return (struct pmem *)((char *)dev - offsetof(struct pmem, dev));
}

static void pmem_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const struct pmem_region *region = pmem_of(dev)->region;
	const struct pmem_registers registers = {htole64(region->gpa), htole64(region->size)};
	memcpy(data, (const uint8_t *)&registers + offset, len);
}

static void say_loss(const struct pmem *pmem)
{
	log_warn("the host may have lost what the guest wrote to '%s' (--pmem): %s; from now on "
		 "every flush fails: repair the host's storage, check the file systems in it, and "
		 "restart the guest",
		 pmem->region->file,
		 pmem->lost == PMEM_SHORTER ? "the file became shorter" : strerror(-pmem->lost));
}

/* Nobody writes to a file system that is mounted read-only. */
static uint32_t refuse(struct pmem *pmem)
{
	atomic_fetch_add(&pmem->refused, 1);
	if (!pmem->refusal_logged)
		log_warn(
			"the guest writes to '%s', which is read-only (--pmem FILE,ro): it gets an "
			"I/O error, and the file stays as it is; mount it with -o ro in the guest",
			pmem->region->file);
	pmem->refusal_logged = true;
	return FAILED;
}

/*
 * After a failure the host may have dropped the pages that it could not write, and would report the
 * next flush as a success (fsync(2)).
 */
static uint32_t flush(struct pmem *pmem)
{
	if (pmem->region->read_only)
		return refuse(pmem);
	bool known = pmem->lost != 0;
	if (!known && pmem_region_is_shorter(pmem->region))
		pmem->lost = PMEM_SHORTER;
	else if (!known && pmem->fdatasync(pmem->region->fd) < 0)
		pmem->lost = -errno;
	if (!known && pmem->lost)
		say_loss(pmem);
	atomic_fetch_add(pmem->lost ? &pmem->failed : &pmem->flushes, 1);
	return pmem->lost ? FAILED : OK;
}

static uint32_t carry_out(struct pmem *pmem, uint32_t type)
{
	if (type == TYPE_FLUSH)
		return flush(pmem);
	atomic_fetch_add(&pmem->refused, 1);
	return FAILED;
}

/* Returns the bytes of the chain's device-writable part, up to @most. */
static uint64_t room(const struct virtq_chain *chain, uint64_t most)
{
	uint64_t bytes = 0;
	for (unsigned int i = chain->readable; i < chain->buffers && bytes < most; i++)
		bytes += chain->buffer[i].len;
	return bytes;
}

/* One request, since each may take the host's disk long, and a reset waits for it. */
static int pmem_work(struct virtio_device *dev, unsigned int queue)
{
	struct pmem *pmem = pmem_of(dev);
	const struct ram *ram = dev->host->ram;
	struct virtq *q = &dev->queue[queue];
	struct virtq_cursor cursor = {0};
	struct virtq_chain chain;
	uint32_t type, answer;

	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;
	/* Before the work: a request without room for its answer breaks the rules. */
	if (virtq_read(ram, &chain, &cursor, &type, sizeof(type)) != sizeof(type) ||
	    room(&chain, sizeof(answer)) < sizeof(answer))
		return -EPROTO;
	answer = htole32(carry_out(pmem, le32toh(type)));
	if (virtq_write(ram, &chain, &answer, sizeof(answer)) != sizeof(answer))
		return -EPROTO;
	virtq_push(q, &chain, sizeof(answer));
	return virtq_empty(q) ? 0 : -EAGAIN;
}

/* Nothing to reset: a driver sets nothing, and data that was lost stays lost. */
static const struct virtio_device_ops pmem_ops = {
	.id = VIRTIO_ID_PMEM,
	.name = "pmem",
	.work = pmem_work,
	.config_size = sizeof(struct pmem_registers),
	.config_read = pmem_config_read,
};

void pmem_init(struct pmem *pmem, const struct pmem_region *region, const struct virtio_host *host)
{
	*pmem = (struct pmem){
		.dev =
			{
				.ops = &pmem_ops,
				.host = host,
				.features_offered = VIRTIO_FEATURES,
				.queues = 1,
			},
		.region = region,
		.fdatasync = fdatasync,
	};
	pmem->dev.queue[0].size_max = 64;
}
