// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

static int kernel_control(const struct vhost *vhost, unsigned long request, void *argument)
{
	return ioctl(vhost->fd, request, argument) < 0 ? -errno : 0;
}

int vhost_init(struct vhost *vhost, const char *path, uint64_t needs)
{
	int error = vhost->control(vhost, VHOST_GET_FEATURES, &vhost->features);
	if (error) {
		log_error("%s is not a vhost device: %s", path, strerror(-error));
		return error;
	}
	if (needs & ~vhost->features) {
		log_error("%s lacks the features 0x%llx: the host's kernel is too old for vhost=1",
			  path, (unsigned long long)(needs & ~vhost->features));
		return -EOPNOTSUPP;
	}
	vhost->broken = wake_open();
	if (vhost->broken >= 0)
		return 0;
	log_error("cannot create an eventfd: %s", strerror(-vhost->broken));
	return vhost->broken;
}

static void say_why(const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
		log_error("cannot open %s: %s; load the kernel's module vhost_%s, or leave vhost=1 "
			  "out",
			  path, strerror(error), path + strlen("/dev/vhost-"));
		break;
	case EACCES:
	case EPERM:
		log_error("cannot open %s: %s; as root, 'setfacl -m u:USER:rw' gives access to it, "
			  "or leave vhost=1 out",
			  path, strerror(error));
		break;
	default:
		log_error("cannot open %s: %s", path, strerror(error));
	}
}

int vhost_open(struct vhost *vhost, const char *path, uint64_t needs)
{
	*vhost = (struct vhost){.fd = -1, .broken = -1, .control = kernel_control};
	vhost->fd = open(path, O_RDWR | O_CLOEXEC);
	if (vhost->fd < 0) {
		int error = errno;
		say_why(path, error);
		return -error;
	}
	return vhost_init(vhost, path, needs);
}

void vhost_release(struct vhost *vhost)
{
	if (!vhost->control)
		return; /* all zero */
	if (vhost->fd >= 0)
		close(vhost->fd);
	if (vhost->broken >= 0)
		close(vhost->broken);
	*vhost = (struct vhost){.fd = -1, .broken = -1};
}

/* --- setting up ------------------------------------------------------------------------------- */

static struct vhost_memory_region entry_of(const struct ram_region *region)
{
	return (struct vhost_memory_region){
		.guest_phys_addr = region->gpa,
		.memory_size = region->size,
		.userspace_addr = (uintptr_t)region->hva,
	};
}

/* The kernel finds a guest's address in this table or nowhere: it holds what ram_buffer_at() finds. */
static int set_memory(const struct vhost *vhost, const struct ram *ram)
{
	union {
		struct vhost_memory memory;
		uint8_t room[sizeof(struct vhost_memory) +
			     (RAM_REGIONS_MAX + RAM_WINDOWS_MAX) *
				     sizeof(struct vhost_memory_region)];
	} table = {.memory = {.nregions = ram->regions + ram->windows}};

	for (unsigned int i = 0; i < ram->regions; i++)
		table.memory.regions[i] = entry_of(&ram->region[i]);
	for (unsigned int i = 0; i < ram->windows; i++)
		table.memory.regions[ram->regions + i] = entry_of(&ram->window[i]);
	return vhost->control(vhost, VHOST_SET_MEM_TABLE, &table);
}

/* The rings are where virtq_start() found them, each with its whole length in RAM. The kernel calls @queue @i. */
static int set_queue(const struct vhost *vhost, const struct virtio_device *dev, unsigned int queue,
		     unsigned int i)
{
	const struct virtio_host *host = dev->host;
	const struct virtq *q = &dev->queue[queue];
	struct vhost_vring_state size = {i, q->size};
	struct vhost_vring_state base = {i, q->next_avail};
	struct vhost_vring_addr rings = {
		.index = i,
		.desc_user_addr = (uintptr_t)q->desc,
		.avail_user_addr = (uintptr_t)q->avail,
		.used_user_addr = (uintptr_t)q->used,
	};
	struct vhost_vring_file kick = {i, host->doorbell(host->ctx, queue)};
	struct vhost_vring_file call = {i, host->call(host->ctx, queue)};
	struct vhost_vring_file broken = {i, vhost->broken};
	const struct {
		unsigned long request;
		void *argument;
	} steps[] = {
		{VHOST_SET_VRING_NUM, &size},	{VHOST_SET_VRING_BASE, &base},
		{VHOST_SET_VRING_ADDR, &rings}, {VHOST_SET_VRING_ERR, &broken},
		{VHOST_SET_VRING_CALL, &call},	{VHOST_SET_VRING_KICK, &kick},
	};
	int error = 0;

	for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]) && !error; step++)
		error = vhost->control(vhost, steps[step].request, steps[step].argument);
	return error;
}

static int own(struct vhost *vhost)
{
	int error = vhost->owned ? 0 : vhost->control(vhost, VHOST_SET_OWNER, NULL);
	vhost->owned = !error;
	return error;
}

/* The kernel lets go of doorbell and interrupt of each queue. */
static void unbind(const struct vhost *vhost, unsigned int queues)
{
	for (unsigned int i = 0; i < queues; i++) {
		struct vhost_vring_file none = {i, VHOST_FILE_UNBIND};
		vhost->control(vhost, VHOST_SET_VRING_KICK, &none);
		vhost->control(vhost, VHOST_SET_VRING_CALL, &none);
		vhost->control(vhost, VHOST_SET_VRING_ERR, &none);
	}
}

/* If this fails, the next start sets everything anew, with the same thread. */
static void disown(struct vhost *vhost, unsigned int queues)
{
	if (vhost->owned && vhost->lasting)
		unbind(vhost, queues);
	else if (vhost->owned)
		vhost->owned = vhost->control(vhost, VHOST_RESET_OWNER, NULL) != 0;
}

int vhost_start(struct vhost *vhost, struct virtio_device *dev, unsigned int first,
		unsigned int queues)
{
	uint64_t features = dev->features & vhost->features;
	int error = own(vhost);

	if (!error)
		error = vhost->control(vhost, VHOST_SET_FEATURES, &features);
	if (!error)
		error = set_memory(vhost, dev->host->ram);
	for (unsigned int i = 0; i < queues && !error; i++)
		error = set_queue(vhost, dev, first + i, i);
	if (error) {
		disown(vhost, queues);
		return error;
	}
	for (unsigned int i = 0; i < queues; i++)
		virtio_queue_lend(dev, first + i);
	vhost->running = true;
	return 0;
}

void vhost_kick(const struct virtio_device *dev, unsigned int first, unsigned int queues)
{
	for (unsigned int i = 0; i < queues; i++)
		wake_ring(dev->host->doorbell(dev->host->ctx, first + i));
}

void vhost_stop(struct vhost *vhost, struct virtio_device *dev, unsigned int first,
		unsigned int queues)
{
	uint16_t next[VIRTIO_QUEUES_MAX];

	for (unsigned int i = 0; i < queues; i++) {
		struct vhost_vring_state base = {i, 0};
		int error = vhost->control(vhost, VHOST_GET_VRING_BASE, &base);
		next[i] = error ? dev->queue[first + i].next_avail : (uint16_t)base.num;
	}
	/* First the kernel lets go of doorbells and interrupts. */
	disown(vhost, queues);
	for (unsigned int i = 0; i < queues; i++)
		virtio_queue_take_back(dev, first + i, next[i]);
	vhost->running = false;
}
