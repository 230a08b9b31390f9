// SPDX-License-Identifier: Apache-2.0
/* Networks: QEMU's set_link, and their figures. */
#include <stdio.h>
#include <string.h>

#include "vmm/lib/json.h"
#include "vmm/machine/device_net.h"
#include "vmm/monitor/part.h"

static json_t *set_link(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	const json_t *name = json_object_get(arguments, "name");
	const json_t *up = json_object_get(arguments, "up");
	struct network *network;

	if (!name || !up)
		return control_fail(error, "Parameter '%s' is missing", name ? "up" : "name");
	if (!json_is_string(name))
		return control_fail(error, "Invalid parameter type for 'name', expected: string");
	if (!json_is_boolean(up))
		return control_fail(error, "Invalid parameter type for 'up', expected: boolean");
	for (unsigned int i = 0; (network = machine_network(monitor->machine, i)); i++) {
		if (strcmp(network->id, json_string_value(name)) != 0)
			continue;
		net_set_link(&network->net, json_is_true(up));
		return json_object();
	}
	return control_fail_as(error, "DeviceNotFound", "Device '%.100s' not found",
			       json_string_value(name));
}

/* The frames of each pair of queues that there is, in use or not. */
static json_t *queues_array(const struct net *net)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < net->config.pairs; i++) {
		const struct net_counters *pair = &net->counters[i * NET_QUEUES];
		json_array_append_new(list, json_pack("{s:o, s:o}", "received",
						      json_count(pair[NET_RECEIVE].frames), "sent",
						      json_count(pair[NET_TRANSMIT].frames)));
	}
	return list;
}

static json_t *figures_object(const struct network *network)
{
	const struct net *net = &network->net;
	const uint8_t *mac = net->config.mac;
	struct net_counters in, out;
	char address[18];

	net_sum(net, NET_RECEIVE, &in);
	net_sum(net, NET_TRANSMIT, &out);

	snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "network", network->id, "mode",
			 network->mode == NETWORK_USER ? "user" : "tap", "mac", address, "up",
			 net_is_up(net), "vhost", atomic_load(&net->dev.lent) != 0, "pairs",
			 (int)atomic_load(&net->pairs), "queues", queues_array(net), "received",
			 json_count(in.frames), "received-bytes", json_count(in.bytes),
			 "received-dropped", json_count(in.dropped), "sent", json_count(out.frames),
			 "sent-bytes", json_count(out.bytes), "sent-dropped",
			 json_count(out.dropped), "refused", json_count(in.refused + out.refused));
}

static void networks_figures(struct monitor *monitor, json_t *stat)
{
	json_t *list = json_array();
	const struct network *network;
	for (unsigned int i = 0; (network = machine_network(monitor->machine, i)); i++)
		json_array_append_new(list, figures_object(network));
	json_object_set_new(stat, "networks", list);
}

static const struct control_command commands[] = {
	{"set_link", CONTROL_ACTS, set_link},
	{},
};

const struct monitor_part monitor_networks = {
	.name = "networks",
	.commands = commands,
	.figures = networks_figures,
};
