public import MemoryModel

extension Machine {
  /// Opens a device for a process (rules P7.1 to P7.42).
  ///
  /// - Parameter account: Where iommufd counts its pages: the user, or `mm->locked_vm`.
  /// - Returns: Its number.
  public mutating func openDevice(
    _ kind: DeviceAttachment.Kind, name: String, space: Int, disablesHugePages: Bool = false,
    hasFineSuperpages: Bool = false, entryLimit: Int = 65535, maximumSegment: Int = 64 << 10,
    account: LockedAccount? = nil
  ) -> Int {
    let id = attach(kind, name: name, space: space)
    devices.attachments[id].disablesHugePages = disablesHugePages
    devices.attachments[id].hasFineSuperpages = hasFineSuperpages
    devices.attachments[id].entryLimit = entryLimit
    devices.attachments[id].maximumSegment = maximumSegment
    if let account { setAccount(id, account) }
    return id
  }

  /// The mappings that an unmap of a range of iova concerns (rules P7.6, S1.13).
  ///
  /// Kernel: `vfio_dma_do_unmap()`, drivers/vfio/vfio_iommu_type1.c.
  public func mappingsToUnmap(
    attachment: Int, iova: Range<Int>
  ) -> Result<[DeviceMapping], Refusal> {
    guard let device = devices.attachment(attachment) else { return .success([]) }
    let touched = device.mappings.filter { $0.iovaRange.overlaps(iova) }
      .sorted { $0.iova < $1.iova }
    switch device.kind {
    case .vfioV1:
      // The first version answers with what it found: it stops at a mapping that begins before the
      // range, and takes all of one that begins inside.
      if let first = touched.first, first.iova < iova.lowerBound { return .success([]) }
      return .success(touched)
    case .vfioV2, .iommufd:
      if let cut = touched.first(where: {
        $0.iova < iova.lowerBound || $0.iovaRange.upperBound > iova.upperBound
      }) {
        let errno: Errno = device.kind == .iommufd ? .ENOENT : .EINVAL
        return .failure(
          Refusal(
            errno,
            "the range would cut the mapping at iova 0x\(hex(cut.iova)) in two; it has to "
              + "cover whole mappings", rule: "P7.6"))
      }
      return .success(touched)
    case .spapr:
      // A region is known by its address and its length alone.
      guard let region = touched.first(where: { $0.iovaRange == iova }) else {
        return .failure(
          Refusal(.ENOENT, "no region of this address and length is registered", rule: "P7.42"))
      }
      return .success([region])
    case .rdma, .odp, .ioUring: return .success(touched)
    }
  }

  private func hex(_ page: Int) -> String { String(page << geometry.pageShift, radix: 16) }

  /// One more user of a region that is registered already, or nil (rule P7.42).
  ///
  /// Kernel: `mm_iommu_get()`.
  public mutating func shareRegistration(attachment: Int, startPage: Int, pages: Int) -> Int? {
    let regions = devices.attachments[attachment].mappings
    guard
      let index = regions.firstIndex(where: { $0.startPage == startPage && $0.pages == pages })
    else { return nil }
    addUser(attachment, regions[index].id, 1)
    return regions[index].id
  }

  /// One user less (rule P7.42).
  ///
  /// Kernel: `mm_iommu_put()`.
  ///
  /// - Returns: True when it was the last, and the region is to be given back; EBUSY while entries of TCE
  ///   tables name pages of it.
  public mutating func releaseRegistration(
    attachment: Int, mapping: Int
  ) -> Result<Bool, Refusal> {
    guard
      let region = devices.attachments[attachment].mappings.first(where: { $0.id == mapping })
    else { return .success(false) }
    if region.users > 1 {
      addUser(attachment, mapping, -1)
      return .success(false)
    }
    if region.tableEntries > 0 {
      return .failure(
        Refusal(
          .EBUSY,
          "TCE tables name pages of the region, \(region.tableEntries) times; clear them first",
          rule: "P7.42"))
    }
    return .success(true)
  }

  /// The mapping of a number, and the device that it belongs to.
  public func deviceMapping(_ id: Int) -> (device: DeviceAttachment, mapping: DeviceMapping)? {
    for device in devices.attachments {
      if let mapping = device.mappings.first(where: { $0.id == id }) { return (device, mapping) }
    }
    return nil
  }

  /// Where the real-mode code finds a page of a region (rule P7.40).
  ///
  /// Kernel: `mm_iommu_ua_to_hpa_rm()`.
  ///
  /// - Parameter pageShift: The size of the page that is wanted, which the region has to allow.
  public func physicalAddress(
    _ mapping: DeviceMapping, offset: Int, pageShift: Int
  ) -> Result<Int, Refusal> {
    let page = offset >> geometry.pageShift
    guard page >= 0, page < mapping.pages, mapping.pin != nil || !mapping.deviceFrames.isEmpty
    else {
      return .failure(
        Refusal(
          .EFAULT, "0x\(String(offset, radix: 16)) is behind the mapping's end", rule: "P7.40"))
    }
    if mapping.pageShift != 0, pageShift > mapping.pageShift {
      return .failure(
        Refusal(
          .EFAULT,
          "the region allows IOMMU pages of \(1 << mapping.pageShift) bytes at the most",
          rule: "P7.41"))
    }
    var found = 0
    forEachFrameRun(mapping) { at, frame, pages in
      if page >= at, page < at + pages { found = frame + page - at }
    }
    return .success(found << geometry.pageShift | offset & (1 << geometry.pageShift - 1))
  }
}
