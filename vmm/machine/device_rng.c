// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_rng.h"

#include "devices/virtio-rng/rng.h"

struct rng_device {
	struct device device;
	struct rng rng;
};

static unsigned int rng_count(const struct vm_config *config)
{
	return config->rng.wanted ? 1 : 0;
}

static int rng_device_init(struct device *device, const struct vm_config *config)
{
	struct rng *rng = &((struct rng_device *)device)->rng;

	(void)config;
	device->virtio = &rng->dev;
	rng_init(rng, &device->slot.host);
	return 0;
}

static void rng_device_release(struct device *device)
{
	(void)device;
}

const struct device_kind device_rng = {
	.name = "rng",
	.size = sizeof(struct rng_device),
	.count = rng_count,
	.init = rng_device_init,
	.release = rng_device_release,
};
