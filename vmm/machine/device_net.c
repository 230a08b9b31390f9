// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/lib/wake.h"

/* passt's default and its maximum: the guest sends fewer frames. */
#define USER_MTU 65520

static unsigned int networks_count(const struct vm_config *config)
{
	return config->networks.count;
}

/* Sets @mac from the guest's name: always the same, and different for each guest on a network. */
static void make_mac(uint8_t mac[6], const char *name, unsigned int number)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
	hash = (hash ^ number) * 0x100000001b3;
	for (unsigned int i = 1; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
	mac[0] = 0x02; /* administered locally */
}

static void frames_ready(void *ctx)
{
	struct network_pair *pair = ctx;
	net_ready(&pair->network->net, (unsigned int)(pair - pair->network->pair));
}

/* --- user: passt ----------------------------------------------------------------------------- */

/* Switches to the socket @fd to passt. Returns 0 or -errno. */
static int attach(struct network *network, int fd)
{
	stream_attach(&network->stream, fd);
	network->pair[0].frames.fd = fd;
	return loop_add_edge(&network->device.slot.worker.loop, &network->pair[0].frames);
}

/* On the worker. */
static void passt_lost(void *ctx)
{
	struct network *network = ctx;

	log_guest(&network->log, "passt has ended: %s is down until it runs again", network->id);
	stream_detach(&network->stream);
	backend_end(&network->passt);
}

/* On the worker: a message from the keeper is waiting. */
static void news_ready(void *ctx)
{
	struct network *network = ctx;
	char why[BACKEND_WHY_SIZE];
	int fd = backend_take(&network->passt, why);

	if (fd == -EAGAIN)
		return;
	if (fd == -ENOMSG) {
		log_guest(&network->log, "cannot start passt for %s: %s; it is tried again",
			  network->id, why);
		return;
	}
	if (fd < 0) {
		loop_remove(&network->device.slot.worker.loop, &network->news);
		log_guest(&network->log,
			  "passt cannot be started again for %s: its keeper has ended; restart "
			  "the guest if its network goes down",
			  network->id);
		return;
	}
	if (attach(network, fd))
		return;
	net_set_carrier(&network->net, true);
	net_ready(&network->net, 0);
}

/* Says why the guest starts without its network by default. */
static int left_out(const char *why)
{
	log_warn("the guest has no network: %s (-n none: no network and no warning)", why);
	return DEVICE_LEFT_OUT;
}

static void forwards(struct passt_config *config, const struct vm_network *wanted)
{
	config->forwards = wanted->forwards;
	for (unsigned int i = 0; i < wanted->forwards; i++) {
		const struct vm_forward *forward = &wanted->forward[i];
		config->forward[i].udp = forward->udp;
		snprintf(config->forward[i].ports, sizeof(config->forward[i].ports), "%s%s%u:%u",
			 forward->host, forward->host[0] ? "/" : "", forward->host_port,
			 forward->guest_port);
	}
}

static int user_init(struct network *network, const struct vm_network *wanted,
		     const struct vm_config *config)
{
	struct passt_config passt = {.mtu = wanted->mtu ? wanted->mtu : USER_MTU};
	bool by_default = config->networks.by_default;
	char why[BACKEND_WHY_SIZE], text[BACKEND_WHY_SIZE + 64];

	stream_init(&network->stream);
	if (by_default && !arch_gsi_usable(network->device.slot.place.gsi, config->boot.params))
		return left_out("with acpi=off there is no interrupt line left for it");
	forwards(&passt, wanted);
	int fd = backend_start(&network->passt, &passt_program, &passt, why);
	if (fd < 0) {
		snprintf(text, sizeof(text), "cannot start passt: %s", why);
		/* A signal is to end ebb. */
		if (by_default && fd != -EINTR)
			return left_out(text);
		log_error("cannot start passt for the guest's network: %s", why);
		return fd;
	}
	int error = attach(network, fd);
	network->news = (struct loop_source){network->passt.control, news_ready, network};
	if (!error)
		error = loop_add(&network->device.slot.worker.loop, &network->news);
	if (error)
		log_error("cannot wait for passt: %s", strerror(-error));
	return error;
}

/* --- tap ------------------------------------------------------------------------------------- */

/* On the worker. */
static void tap_lost(void *ctx)
{
	struct network *network = ctx;

	for (unsigned int i = 0; i < network->net.config.pairs; i++) {
		loop_remove(&network->device.slot.worker.loop, &network->pair[i].frames);
		tap_release(&network->tap[i]);
	}
	log_guest(&network->log, "the interface %s of the host was removed: %s is down",
		  network->tap[0].name, network->id);
}

/* The kernel reads the interface itself, or no longer. */
static void frames_lend(void *ctx, unsigned int pair, bool lent)
{
	struct network *network = ctx;
	struct loop *loop = &network->device.slot.worker.loop;

	if (lent)
		loop_mute(loop, &network->pair[pair].frames);
	else
		loop_wait_for_edge(loop, &network->pair[pair].frames);
}

/* On the worker: the kernel cannot use a ring. */
static void broken_rang(void *ctx)
{
	struct network_pair *pair = ctx;

	if (wake_take(pair->broken.fd))
		virtio_queues_broken(&pair->network->net.dev);
}

/* The kernel starts to serve the queues only when the guest's driver has set them up. */
static int tap_vhost_init(struct network_pair *pair)
{
	int error = vhost_open(&pair->vhost, "/dev/vhost-net", NET_VHOST_NEEDS);
	if (error)
		return error;
	pair->broken = (struct loop_source){pair->vhost.broken, broken_rang, pair};
	return loop_add(&pair->network->device.slot.worker.loop, &pair->broken);
}

static int tap_pair_init(struct network *network, unsigned int i, const struct vm_network *wanted)
{
	struct network_pair *pair = &network->pair[i];
	int fd = wanted->fds ? wanted->fd[i] : -1;
	int error = i == 0 ? tap_open(&network->tap[0], wanted->tapif, fd, wanted->queues > 1)
			   : tap_open_more(network->tap, i, fd);

	if (!error && wanted->vhost)
		error = tap_vhost_init(pair);
	if (error)
		return error;
	pair->frames.fd = network->tap[i].backend.fd;
	error = loop_add_edge(&network->device.slot.worker.loop, &pair->frames);
	if (error)
		log_error("cannot wait for the tap interface: %s", strerror(-error));
	return error;
}

static int tap_init(struct network *network, const struct vm_network *wanted)
{
	int error = 0;

	for (unsigned int i = 0; i < wanted->queues && !error; i++)
		error = tap_pair_init(network, i, wanted);
	return error;
}

/* --------------------------------------------------------------------------------------------- */

static int network_init(struct device *device, const struct vm_config *config)
{
	struct network *network = (struct network *)device;
	const struct vm_network *wanted = &config->networks.network[device->number];
	bool user = wanted->mode == NETWORK_USER;

	snprintf(network->id, sizeof(network->id), "net%u", device->number);
	device->virtio = &network->net.dev;
	network->mode = wanted->mode;
	network->passt.control = -1;
	for (unsigned int i = 0; i < NET_PAIRS_MAX; i++)
		network->pair[i] = (struct network_pair){
			.network = network,
			.frames = {-1, frames_ready, &network->pair[i]},
		};
	int error = user ? user_init(network, wanted, config) : tap_init(network, wanted);
	if (error)
		return error;
	struct net_config net = {
		.mac_given = wanted->mac_given,
		.mtu = wanted->mtu ? wanted->mtu
		       : user	   ? USER_MTU
				   : 0,
		.pairs = wanted->queues,
		.backend = {user ? &network->stream.backend : &network->tap[0].backend},
		.lost = user ? passt_lost : tap_lost,
		.ctx = network,
		.lend = frames_lend,
		.save_advice = user ? NULL : "one by passt can (-n user)",
	};
	if (wanted->mac_given)
		memcpy(net.mac, wanted->mac, sizeof(net.mac));
	else
		make_mac(net.mac, config->machine.name ? config->machine.name : "", device->number);
	for (unsigned int i = 1; i < wanted->queues; i++)
		net.backend[i] = &network->tap[i].backend;
	for (unsigned int i = 0; wanted->vhost && i < wanted->queues; i++)
		net.vhost[i] = &network->pair[i].vhost;
	net_init(&network->net, &net, &device->slot.host);
	return 0;
}

static void network_release(struct device *device)
{
	struct network *network = (struct network *)device;

	if (network->mode == NETWORK_TAP) {
		for (unsigned int i = 0; i < NET_PAIRS_MAX; i++) {
			tap_release(&network->tap[i]);
			vhost_release(&network->pair[i].vhost);
		}
		return;
	}
	stream_release(&network->stream);
	backend_stop(&network->passt);
}

static void network_hold(struct device *device, bool held)
{
	net_hold(&((struct network *)device)->net, held);
}

static void network_summary(const struct device *device)
{
	const struct network *network = (const struct network *)device;
	struct net_counters in, out;

	net_sum(&network->net, NET_RECEIVE, &in);
	net_sum(&network->net, NET_TRANSMIT, &out);
	log_info("%s: %llu frames received, %llu dropped; %llu sent, %llu dropped, %llu refused",
		 network->id, in.frames, in.dropped, out.frames, out.dropped, out.refused);
}

const struct device_kind device_net = {
	.name = "network",
	.size = sizeof(struct network),
	.count = networks_count,
	.init = network_init,
	.release = network_release,
	.hold = network_hold,
	.summary = network_summary,
};

struct network *machine_network(const struct machine *machine, unsigned int number)
{
	return (struct network *)machine_find(machine, &device_net, number);
}
