// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_balloon.h"

#include "vmm/lib/log.h"

struct balloon_device {
	struct device device;
	struct balloon balloon;
};

static unsigned int balloon_count(const struct vm_config *config)
{
	return config->balloon.wanted ? 1 : 0;
}

static bool wants_reporting(const struct vm_config *config, const struct ram *ram)
{
	if (config->balloon.reporting != VM_REPORTING_DEFAULT)
		return config->balloon.reporting == VM_REPORTING_ON;
	const char *why = ram_why_keep(ram);
	if (why)
		log_warn("free page reporting is off: %s", why);
	return !why;
}

static int balloon_device_init(struct device *device, const struct vm_config *config)
{
	struct balloon *balloon = &((struct balloon_device *)device)->balloon;
	const struct balloon_config wanted = {
		.free_page_reporting = wants_reporting(config, device->slot.host.ram),
		.deflate_on_oom = config->balloon.deflate_on_oom,
		.target = config->balloon.size,
	};
	device->virtio = &balloon->dev;
	return balloon_init(balloon, &wanted, &device->slot.host);
}

static void balloon_device_release(struct device *device)
{
	balloon_release(&((struct balloon_device *)device)->balloon);
}

static void balloon_summary(const struct device *device)
{
	const struct balloon *balloon = &((const struct balloon_device *)device)->balloon;
	const struct balloon_counters *c = &balloon->counters;
	if (!balloon_offers_reporting(balloon))
		return;
	log_info("free page reporting: %llu reports, %llu blocks, %llu MiB given back in %llu "
		 "ranges, %llu failures",
		 c->reporting.reports, c->reporting.blocks, c->reporting.bytes >> 20,
		 c->reporting.ranges, c->reporting.failures);
}

const struct device_kind device_balloon = {
	.name = "balloon",
	.size = sizeof(struct balloon_device),
	.count = balloon_count,
	.init = balloon_device_init,
	.release = balloon_device_release,
	.summary = balloon_summary,
};

struct balloon *machine_balloon(const struct machine *machine)
{
	struct device *device = machine_find(machine, &device_balloon, 0);
	return device ? &((struct balloon_device *)device)->balloon : NULL;
}
