// SPDX-License-Identifier: Apache-2.0
/* The option that gives the guest networks. Its keys are kvmtool's, hostfwd is QEMU's. */
#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

#define FORWARD "tcp:127.0.0.1:2222-:22"

enum { NETWORK };

static const struct option options[] = {
	{NETWORK | OPTION_AGAIN, 'n', "network", "MODE[,KEY=VALUE]",
	 "connect the guest to a network: user, by passt,\n"
	 "which needs no privileges; tap, by an interface\n"
	 "of the host, tapif=NAME or fd=N, with queues=N\n"
	 "up to 4 pairs of queues, and with vhost=1 by the\n"
	 "host's kernel alone; or none. Of user,\n"
	 "hostfwd=" FORWARD " passes a port\n"
	 "on. Both take guest_mac=ADDRESS and mtu=N; give\n"
	 "up to 4 of them [user, if passt can be started]",
	 false},
};

enum { MODE, GUEST_MAC, MTU, HOSTFWD, TAPIF, FD, QUEUES, VHOST, SCRIPT };

static const struct option_key keys[] = {
	{MODE, "mode", "user", false},
	{GUEST_MAC, "guest_mac", "ADDRESS", false},
	{MTU, "mtu", "N", false},
	{HOSTFWD, "hostfwd", FORWARD, true},
	{TAPIF, "tapif", "NAME", false},
	{FD, "fd", "N", false},
	{QUEUES, "queues", "N", false},
	{VHOST, "vhost", "1", false},
	/* kvmtool's, which ebb does not have. */
	{SCRIPT | OPTION_UNLISTED, "script", "FILE", false},
	{SCRIPT | OPTION_UNLISTED, "downscript", "FILE", false},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* "user,mtu=1500", and kvmtool's "mode=user,mtu=1500". */
static const struct option_keys with_word = {"network", "MODE", keys, KEYS};
static const struct option_keys without_word = {"network", NULL, keys, KEYS};

/* The network of one -n. */
struct given {
	bool mode, none, by_fd;
	struct vm_network network;
};

static int set_mode(struct given *given, const char *text, struct option_error *error)
{
	if (given->mode)
		return options_fail(error, "the network has two modes; give one");
	given->mode = true;
	given->none = strcmp(text, "none") == 0;
	given->by_fd = strcmp(text, "fd") == 0;
	if (strcmp(text, "user") == 0)
		given->network.mode = NETWORK_USER;
	else if (strcmp(text, "tap") == 0 || given->by_fd)
		given->network.mode = NETWORK_TAP;
	else if (!given->none)
		return options_fail(error, "unknown network \"%s\"; write user, tap or none", text);
	return 0;
}

static int set_mac(struct vm_network *network, const char *text, struct option_error *error)
{
	uint8_t *mac = network->mac;
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != 6 ||
	    strlen(text) != 17 || end != 17)
		return options_fail(error,
				    "\"%s\" is not an Ethernet address; write one such as "
				    "02:15:15:15:15:15",
				    text);
	if (mac[0] & 1)
		return options_fail(error, "%s is the address of a group; make the first byte even",
				    text);
	network->mac_given = true;
	return 0;
}

/* Parses a number from @least to @most. Returns 0, or -EINVAL with @error set. */
static int set_number(const char *what, const char *text, uint64_t least, uint64_t most,
		      uint64_t *number, struct option_error *error)
{
	if (options_number(text, number, NULL) || *number < least || *number > most)
		return options_fail(
			error, "the network's %s \"%s\" is not a number from %llu to %llu", what,
			text, (unsigned long long)least, (unsigned long long)most);
	return 0;
}

static int set_tapif(struct vm_network *network, const char *text, struct option_error *error)
{
	if (!*text || strlen(text) >= sizeof(network->tapif) || strchr(text, '/'))
		return options_fail(
			error, "\"%s\" is not the name of an interface; write 1 to 15 characters",
			text);
	strcpy(network->tapif, text);
	return 0;
}

/* Parses a port up to @end. Returns false if there is none. */
static bool port(const char *text, char end, uint16_t *number, const char **rest)
{
	uint64_t value;
	if (options_number(text, &value, rest) || value == 0 || value > 65535 || **rest != end)
		return false;
	*number = (uint16_t)value;
	*rest += end != '\0';
	return true;
}

/* [tcp|udp]:[ADDRESS]:PORT-:PORT */
static bool forward_parse(struct vm_forward *forward, const char *text)
{
	size_t protocol = strcspn(text, ":");
	struct in_addr address;

	forward->udp = protocol == 3 && strncmp(text, "udp", 3) == 0;
	if (!forward->udp && !(protocol == 3 && strncmp(text, "tcp", 3) == 0) && protocol != 0)
		return false;
	if (!text[protocol])
		return false;
	text += protocol + 1;
	size_t host = strcspn(text, ":");
	if (host >= sizeof(forward->host) || !text[host])
		return false;
	memcpy(forward->host, text, host);
	forward->host[host] = '\0';
	if (host && inet_pton(AF_INET, forward->host, &address) != 1)
		return false;
	return port(text + host + 1, '-', &forward->host_port, &text) && *text == ':' &&
	       port(text + 1, '\0', &forward->guest_port, &text);
}

static int add_forward(struct vm_network *network, const char *text, struct option_error *error)
{
	if (network->forwards == VM_FORWARDS_MAX)
		return options_fail(error, "hostfwd \"%s\" is one too many; a network can have %d",
				    text, VM_FORWARDS_MAX);
	if (!forward_parse(&network->forward[network->forwards], text))
		return options_fail(error,
				    "hostfwd \"%s\" is not PROTOCOL:HOST-ADDRESS:PORT-:PORT; "
				    "write one such as " FORWARD,
				    text);
	network->forwards++;
	return 0;
}

/* "3", or several descriptors, "3:4". */
static int set_descriptors(struct vm_network *network, const char *text, struct option_error *error)
{
	const char *rest = text;
	uint64_t number;

	do {
		if (network->fds == VM_QUEUES_MAX)
			return options_fail(error,
					    "the network's fd \"%s\" has more than %d descriptors",
					    text, VM_QUEUES_MAX);
		if (options_number(rest, &number, &rest) || number < 3 || number > INT_MAX ||
		    (*rest && *rest != ':'))
			return options_fail(
				error,
				"the network's fd \"%s\" is not a number from 3 to %d, or "
				"several such as 3:4",
				text, INT_MAX);
		for (unsigned int i = 0; i < network->fds; i++)
			if (network->fd[i] == (int)number)
				return options_fail(
					error, "the network's fd \"%s\" has a descriptor twice",
					text);
		network->fd[network->fds++] = (int)number;
	} while (*rest++);
	return 0;
}

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct given *given = ctx;
	struct vm_network *network = &given->network;
	uint64_t number = 0;
	int err;

	switch (id) {
	case GUEST_MAC:
		return set_mac(network, value, error);
	case MTU:
		/* passt and Linux accept no smaller MTU. */
		err = set_number("mtu", value, 68, 65520, &number, error);
		network->mtu = (uint16_t)number;
		return err;
	case HOSTFWD:
		return add_forward(network, value, error);
	case TAPIF:
		return set_tapif(network, value, error);
	case FD:
		return set_descriptors(network, value, error);
	case QUEUES:
		err = set_number("queues", value, 1, VM_QUEUES_MAX, &number, error);
		network->queues = (unsigned int)number;
		return err;
	case VHOST:
		err = set_number("vhost", value, 0, 1, &number, error);
		network->vhost = number == 1;
		return err;
	case SCRIPT:
		return options_fail(error,
				    "ebb runs no scripts for a network; set an interface up before "
				    "(ip tuntap add NAME mode tap), and give it with tapif=NAME");
	default: /* the mode, with its key or without */
		return set_mode(given, value, error);
	}
}

/* Refuses a missing mode, keys of another mode, and two sources for a tap. */
static int check_network(const struct given *given, struct option_error *error)
{
	const struct vm_network *network = &given->network;
	bool tap = network->mode == NETWORK_TAP;

	if (!given->mode)
		return options_fail(error, "the network has no mode; write user, tap or none");
	if (given->none && (network->mac_given || network->mtu || network->tapif[0] ||
			    network->forwards || network->queues))
		return options_fail(error, "the network none has no keys; leave them out");
	if (network->forwards && (tap || given->none))
		return options_fail(error, "hostfwd is for the network user; leave it out");
	if ((network->tapif[0] || network->fds) && !tap)
		return options_fail(error, "tapif and fd are for the network tap; leave them out");
	if (given->by_fd && !network->fds)
		return options_fail(error, "the network fd has no descriptor; write fd=N");
	if (network->vhost && !tap)
		return options_fail(error, "vhost is for the network tap; leave it out");
	if (network->queues > 1 && !tap)
		return options_fail(error, "the network user has one pair of queues, as passt has; "
					   "leave queues out, or use tap");
	if (network->queues && network->fds)
		return options_fail(error, "queues and fd cannot be combined: each descriptor is a "
					   "queue, such as fd=3:4");
	if (network->tapif[0] && network->fds)
		return options_fail(error, "tapif and fd cannot be combined: a descriptor has its "
					   "interface already");
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_networks *networks = &((struct vm_config *)ctx)->networks;
	struct given given = {0};
	/* Is there a "=" in the first part? */
	bool keyed = value[strcspn(value, "=,")] == '=';

	(void)id; /* there is only one option */
	int err = option_keys_parse(keyed ? &without_word : &with_word, value, apply_key, &given,
				    error);
	if (!err)
		err = check_network(&given, error);
	if (err)
		return err;
	if (given.none) {
		networks->none = true;
		return 0;
	}
	if (networks->count == VM_NETWORKS_MAX)
		return options_fail(error,
				    "the network \"%s\" is one too many; a guest can have %d",
				    value, VM_NETWORKS_MAX);
	if (!given.network.queues)
		given.network.queues = given.network.fds ? given.network.fds : 1;
	networks->network[networks->count++] = given.network;
	return 0;
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_config *config = ctx;
	struct vm_networks *networks = &config->networks;
	if (networks->none && networks->count)
		return options_fail(error, "-n none and other networks cannot be combined");
	if (networks->none || networks->count || config->boot.nodefaults)
		return 0;
	networks->network[networks->count++] =
		(struct vm_network){.mode = NETWORK_USER, .queues = 1};
	networks->by_default = true;
	return 0;
}

const struct option_group config_network = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
