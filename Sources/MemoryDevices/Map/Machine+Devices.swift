public import MemoryModel

extension Machine {
  /// Opens a device for a process (rules P7.1 to P7.42).
  ///
  /// - Returns: Its number.
  public mutating func openDevice(
    _ kind: DeviceAttachment.Kind, name: String, space: Int, disablesHugePages: Bool = false,
    hasFineSuperpages: Bool = false, entryLimit: Int = 65535, maximumSegment: Int = 64 << 10
  ) -> Int {
    let id = attach(kind, name: name, space: space)
    devices.attachments[id].disablesHugePages = disablesHugePages
    devices.attachments[id].hasFineSuperpages = hasFineSuperpages
    devices.attachments[id].entryLimit = entryLimit
    devices.attachments[id].maximumSegment = maximumSegment
    return id
  }

  /// The mappings that an unmap of a range of iova concerns, and how many pages it answers (rules P7.6,
  /// S1.13).
  ///
  /// Kernel: `vfio_dma_do_unmap()`, drivers/vfio/vfio_iommu_type1.c.
  public func mappingsToUnmap(
    attachment: Int, iova: Range<Int>
  ) -> Result<[DeviceMapping], Refusal> {
    guard let device = devices.attachment(attachment) else { return .success([]) }
    let touched = device.mappings.filter {
      $0.iova < iova.upperBound && iova.lowerBound < $0.iova + $0.pages
    }.sorted { $0.iova < $1.iova }
    switch device.kind {
    case .vfioV1:
      // The first version answers with what it found: a mapping goes when its beginning is in the
      // range, all of it, and one that only reaches into it stays.
      return .success(touched.filter { iova.contains($0.iova) })
    case .vfioV2, .iommufd:
      if let cut = touched.first(where: {
        $0.iova < iova.lowerBound || $0.iova + $0.pages > iova.upperBound
      }) {
        let errno: Errno = device.kind == .iommufd ? .ENOENT : .EINVAL
        return .failure(
          Refusal(
            errno, "the range would cut the mapping at iova 0x\(hex(cut.iova)) in two; it has to "
              + "cover whole mappings", rule: "P7.6"))
      }
      return .success(touched)
    default: return .success(touched)
    }
  }

  private func hex(_ page: Int) -> String { String(page << geometry.pageShift, radix: 16) }

  /// One more user of a region that is registered already, or nil (rule P7.42).
  ///
  /// Kernel: `mm_iommu_get()`.
  public mutating func shareRegistration(attachment: Int, startPage: Int, pages: Int) -> Int? {
    guard
      let index = devices.attachments[attachment].mappings.firstIndex(where: {
        $0.startPage == startPage && $0.pages == pages
      })
    else { return nil }
    devices.attachments[attachment].mappings[index].users += 1
    return devices.attachments[attachment].mappings[index].id
  }

  /// One user less; true when it was the last.
  public mutating func releaseRegistration(attachment: Int, mapping: Int) -> Bool {
    guard
      let index = devices.attachments[attachment].mappings.firstIndex(where: { $0.id == mapping })
    else { return false }
    devices.attachments[attachment].mappings[index].users -= 1
    return devices.attachments[attachment].mappings[index].users == 0
  }

  /// The mapping of a number, and the device that it belongs to.
  public func deviceMapping(_ id: Int) -> (device: DeviceAttachment, mapping: DeviceMapping)? {
    for device in devices.attachments {
      if let mapping = device.mappings.first(where: { $0.id == id }) { return (device, mapping) }
    }
    return nil
  }

  /// Sets RLIMIT_MEMLOCK of a process; nil is CAP_IPC_LOCK (rule P9.4).
  public mutating func setMemlockLimit(_ space: Int, _ bytes: Int?) {
    limitLockedMemory(space, bytes)
  }
}
