// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-net/header.h"

#include <endian.h>

static bool has(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

struct net_offloads net_offloads_of_host(uint64_t features)
{
	return (struct net_offloads){
		.checksum = has(features, VIRTIO_NET_F_CSUM),
		.tso4 = has(features, VIRTIO_NET_F_HOST_TSO4),
		.tso6 = has(features, VIRTIO_NET_F_HOST_TSO6),
		.ecn = has(features, VIRTIO_NET_F_HOST_ECN),
	};
}

struct net_offloads net_offloads_of_guest(uint64_t features)
{
	return (struct net_offloads){
		.checksum = has(features, VIRTIO_NET_F_GUEST_CSUM),
		.tso4 = has(features, VIRTIO_NET_F_GUEST_TSO4),
		.tso6 = has(features, VIRTIO_NET_F_GUEST_TSO6),
		.ecn = has(features, VIRTIO_NET_F_GUEST_ECN),
	};
}

static bool gso_fits(const struct virtio_net_hdr_v1 *header, const struct net_offloads *allowed)
{
	uint8_t type = header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	/* Segments need checksums of their own (§5.1.6.2). */
	if (header->gso_size == 0 || !(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	if ((header->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !allowed->ecn)
		return false;
	return (type == VIRTIO_NET_HDR_GSO_TCPV4 && allowed->tso4) ||
	       (type == VIRTIO_NET_HDR_GSO_TCPV6 && allowed->tso6);
}

bool net_header_fits(const struct virtio_net_hdr_v1 *header, size_t len,
		     const struct net_offloads *allowed, bool valid_too)
{
	uint8_t flags = VIRTIO_NET_HDR_F_NEEDS_CSUM | (valid_too ? VIRTIO_NET_HDR_F_DATA_VALID : 0);

	if (header->flags & ~flags || le16toh(header->hdr_len) > len)
		return false;
	/* The flags are about checksums: without the feature none may be set. */
	if (header->flags && !allowed->checksum)
		return false;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    (size_t)le16toh(header->csum_start) + le16toh(header->csum_offset) + 2 > len)
		return false;
	return gso_fits(header, allowed);
}
