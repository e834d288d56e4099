// Invariant: looks only; what it refuses has touched nothing.

internal import MemoryModel

extension DeviceMap {
  /// Why the driver refuses before it looks at a page.
  func argumentRefusal(
    _ machine: borrowing Machine, _ device: DeviceAttachment
  ) -> Refusal? {
    if pages == 0 { return Refusal(.EINVAL, "the size is 0", rule: "P7.4") }
    switch device.kind {
    case .ioUring:
      if pages << machine.geometry.pageShift > 1 << 30 {
        return Refusal(.EFAULT, "a registered buffer has at most 1 GiB", rule: "P7.30")
      }
      if device.mappings.count >= 16384 {
        return Refusal(.EINVAL, "a ring has at most 16384 buffers", rule: "P7.30")
      }
    case .vfioV1, .vfioV2, .iommufd:
      if iova < 0 || iova > Int.max >> 12 - pages {
        return Refusal(.EINVAL, "the iova range wraps", rule: "P7.4")
      }
      if device.mappings.contains(where: { $0.iovaRange.overlaps(iova..<iova + pages) }) {
        return Refusal(.EEXIST, "a part of the iova range is mapped already", rule: "P7.4")
      }
      if device.mappings.count >= device.entryLimit {
        return Refusal(
          .ENOSPC, "the container holds \(device.entryLimit) mappings, its limit", rule: "P7.4")
      }
    case .rdma where machine.spaces[device.space].memlockLimit == 0:
      return Refusal(
        .EPERM, "the process may lock nothing: RLIMIT_MEMLOCK is 0, and it lacks CAP_IPC_LOCK",
        rule: "P7.20")
    case .rdma, .odp, .spapr: break
    }
    return nil
  }

  /// Why the limit refuses some pages.
  func limitRefusal(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ pages: Int
  ) -> Refusal {
    let rule: String
    switch device.kind {
    case .rdma: rule = "P7.20"
    case .ioUring: rule = "P7.30"
    case .iommufd: rule = "P7.10"
    case .spapr: rule = "P7.40"
    default: rule = "P7.5"
    }
    let limit = machine.spaces[device.space].memlockLimit ?? 0
    let counter =
      device.account == .user ? "locked_vm of the user" : "\(device.account.rawValue)"
    return Refusal(
      .ENOMEM,
      "RLIMIT_MEMLOCK is \(limit >> machine.geometry.pageShift) pages: \(counter) holds "
        + "\(machine.charged(device) - charged), and \(pages) more are asked for", rule: rule)
  }
}
