// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_vhost.h"

#include <check.h>
#include <errno.h>
#include <string.h>

struct vhost vhost;
struct fake_vhost kernel;
bool backend_lent;

static void forget(void)
{
	memset(&kernel.memory, 0, sizeof(kernel.memory));
	kernel.features = 0;
	kernel.owned = false;
	memset(kernel.queue, 0, sizeof(kernel.queue));
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		kernel.queue[i].kick = kernel.queue[i].call = kernel.queue[i].broken =
			kernel.queue[i].backend = -1;
}

/* As drivers/vhost: the order that it asks for, and rings that are there when a backend comes. */
static int set_queue(unsigned long request, void *argument)
{
	const struct vhost_vring_state *state = argument;
	const struct vhost_vring_file *file = argument;
	unsigned int i = state->index;

	ck_assert_uint_lt(i, NET_QUEUES);
	if (kernel.fails == request && kernel.fails_at == i && file->fd != -1)
		return -ENOMEM;
	if (request == VHOST_SET_VRING_NUM)
		kernel.queue[i].size = state->num;
	else if (request == VHOST_SET_VRING_BASE)
		kernel.queue[i].base = state->num;
	else if (request == VHOST_GET_VRING_BASE)
		((struct vhost_vring_state *)argument)->num = kernel.queue[i].base;
	else if (request == VHOST_SET_VRING_ADDR)
		memcpy(&kernel.queue[i].rings, argument, sizeof(kernel.queue[i].rings));
	else if (request == VHOST_SET_VRING_KICK)
		kernel.queue[i].kick = file->fd;
	else if (request == VHOST_SET_VRING_CALL)
		kernel.queue[i].call = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		kernel.queue[i].broken = file->fd;
	else if (request == VHOST_NET_SET_BACKEND)
		kernel.queue[i].backend = file->fd;
	else
		ck_abort_msg("request %lx", request);
	/* From here on the kernel may interrupt the driver. */
	if (request == VHOST_NET_SET_BACKEND && file->fd >= 0)
		ck_assert(net.dev.queue[i].lent && kernel.memory.nregions > 0);
	return 0;
}

static int control(const struct vhost *asked, unsigned long request, void *argument)
{
	ck_assert_ptr_eq(asked, &vhost);
	kernel.calls++;
	if (request == VHOST_GET_FEATURES) {
		*(uint64_t *)argument = VHOST_RINGS | 1ULL << VHOST_F_LOG_ALL;
		return 0;
	}
	if (request == VHOST_SET_OWNER) {
		if (kernel.fails == request)
			return -ENOMEM;
		ck_assert(!kernel.owned);
		kernel.owned = true;
		kernel.owners++;
		return 0;
	}
	ck_assert_msg(kernel.owned, "request %lx of no owner", request);
	if (request != VHOST_SET_FEATURES && request != VHOST_SET_MEM_TABLE &&
	    request != VHOST_RESET_OWNER)
		return set_queue(request, argument);
	if (kernel.fails == request)
		return -ENOMEM;
	if (request == VHOST_SET_FEATURES) {
		kernel.features = *(uint64_t *)argument;
	} else if (request == VHOST_SET_MEM_TABLE) {
		const struct vhost_memory *memory = argument;
		ck_assert_uint_le(memory->nregions, RAM_REGIONS_MAX + RAM_WINDOWS_MAX);
		kernel.memory = *memory;
		memcpy(kernel.region, memory->regions, memory->nregions * sizeof(kernel.region[0]));
	} else {
		forget();
	}
	return 0;
}

void vhost_lend_backend(void *ctx, unsigned int pair, bool lent)
{
	(void)ctx, (void)pair;
	backend_lent = lent;
}

void vhost_setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	forget();
	backend_lent = false;
	vhost = (struct vhost){.fd = -1, .broken = -1, .control = control};
	ck_assert_int_eq(vhost_init(&vhost, "/dev/vhost-net", NET_VHOST_NEEDS), 0);
	net_setup_with(&vhost, vhost_lend_backend);
}

void vhost_teardown(void)
{
	virtio_core_stop(net.dev.core, UINT64_MAX);
	ck_assert(!kernel.owned || kernel.fails == VHOST_RESET_OWNER);
	net_teardown();
	vhost_release(&vhost);
}

void kernel_works(unsigned int queue, unsigned int n)
{
	struct vring_used *used =
		(struct vring_used *)(uintptr_t)kernel.queue[queue].rings.used_user_addr;

	kernel.queue[queue].base += n;
	used->idx += n;
	net_guest.queue[queue].used_seen = used->idx;
}
