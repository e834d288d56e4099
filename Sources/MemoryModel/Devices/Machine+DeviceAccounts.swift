// Invariant: what is charged is a sum over mappings: mm->pinned_vm and user->locked_vm that of the
// devices alone, mm->locked_vm that of the devices and of the locked areas.

extension Machine {
  /// Opens an attachment, with a name that no other one of the process has.
  package mutating func attach(
    _ kind: DeviceAttachment.Kind, name: String, space: Int
  ) -> Int {
    let id = devices.attachments.count
    let taken = Set(devices.attachments.lazy.filter { $0.space == space && $0.isOpen }.map(\.name))
    var unique = name
    var number = 1
    while taken.contains(unique) {
      number += 1
      unique = "\(name) \(number)"
    }
    devices.attachments.append(
      DeviceAttachment(id: id, kind: kind, name: unique, space: space))
    return id
  }

  package mutating func setAccount(_ id: Int, _ account: LockedAccount) {
    devices.attachments[id].account = account
  }

  /// Raises or lowers what the device's account holds.
  ///
  /// iommufd counts `mm->pinned_vm` besides, whatever its account (rule P7.10).
  ///
  /// Kernel: `account_locked_vm()`, `atomic64_add(&mm->pinned_vm)`, `__io_account_mem()`.
  package mutating func charge(_ id: Int, _ pages: Int) {
    let device = devices.attachments[id]
    switch device.account {
    case .locked: spaces[device.space].lockedPages += pages
    case .pinned: spaces[device.space].pinnedPages += pages
    case .user: devices.userLockedPages += pages
    case .none: return
    }
    if device.kind == .iommufd { spaces[device.space].pinnedPages += pages }
  }

  /// What the device's account holds now.
  public func charged(_ device: DeviceAttachment) -> Int {
    switch device.account {
    case .locked: spaces[device.space].lockedPages
    case .pinned: spaces[device.space].pinnedPages
    case .user: devices.userLockedPages
    case .none: 0
    }
  }

  /// How many more pages the device may charge below RLIMIT_MEMLOCK; no limit stands for CAP_IPC_LOCK.
  ///
  /// Each account is compared alone, so that a process may lock the limit several times (rule P9.4).
  package func memlockRoom(_ device: DeviceAttachment) -> Int {
    guard let limit = spaces[device.space].memlockLimit else { return .max }
    return max(0, limit >> geometry.pageShift - charged(device))
  }

  /// Sets RLIMIT_MEMLOCK of a process in bytes; nil is CAP_IPC_LOCK (rule P9.4).
  public mutating func setMemlockLimit(_ space: Int, _ bytes: Int?) {
    spaces[space].memlockLimit = bytes
  }

  /// Says in the log that a container met the limit.
  ///
  /// Kernel: `vfio_pin_pages_remote()`.
  package mutating func logMemlock(_ space: Int) {
    log.append(
      "vfio_pin_pages_remote: RLIMIT_MEMLOCK (\(spaces[space].memlockLimit ?? 0)) exceeded")
  }

  /// Forgets what a process that is gone had mapped; its pins are given back already.
  package mutating func forgetDevices(of space: Int) {
    for id in devices.attachments.indices where devices.attachments[id].space == space {
      for mapping in devices.attachments[id].mappings { charge(id, -mapping.charged) }
      devices.attachments[id].mappings = []
      devices.attachments[id].isOpen = false
    }
  }

  // MARK: Mappings

  /// Takes or gives back the mutex of a device.
  package mutating func setBusy(device id: Int, _ isBusy: Bool) {
    devices.attachments[id].isBusy = isBusy
  }

  public func isBusy(device id: Int) -> Bool { devices.attachments[id].isBusy }

  /// Closes a device that maps nothing any more.
  public mutating func closeDevice(_ id: Int) { devices.attachments[id].isOpen = false }

  /// Forgets a mapping whose pages are given back, and what it charged.
  package mutating func removeMapping(_ id: Int, _ mapping: Int) {
    guard let index = devices.attachments[id].mappings.firstIndex(where: { $0.id == mapping })
    else { return }
    charge(id, -devices.attachments[id].mappings[index].charged)
    devices.attachments[id].mappings.remove(at: index)
  }

  private mutating func withMapping(
    _ id: Int, _ mapping: Int, _ body: (inout DeviceMapping) -> Void
  ) {
    guard let index = devices.attachments[id].mappings.firstIndex(where: { $0.id == mapping })
    else { return }
    body(&devices.attachments[id].mappings[index])
  }

  package mutating func addUser(_ id: Int, _ mapping: Int, _ users: Int) {
    withMapping(id, mapping) { $0.users += users }
  }

  /// Says how many entries of TCE tables name pages of a region (rule P7.42).
  ///
  /// Kernel: `mm_iommu_mapped_inc()`, `mm_iommu_mapped_dec()`.
  public mutating func setTableEntries(_ id: Int, _ mapping: Int, _ entries: Int) {
    withMapping(id, mapping) { $0.tableEntries = entries }
  }

  /// Sets bit 0 of a slot (rule P7.40).
  ///
  /// Kernel: `mm_iommu_ua_mark_dirty_rm()`.
  public mutating func markDirty(_ id: Int, _ mapping: Int, slot: Int) {
    withMapping(id, mapping) { $0.dirtySlots.insert(slot) }
  }

  /// Marks the pages dirty whose slots say so.
  ///
  /// Kernel: `mm_iommu_unpin()`.
  package mutating func markSlotsDirty(_ mapping: DeviceMapping) {
    guard !mapping.dirtySlots.isEmpty else { return }
    var dirty: [PFN] = []
    forEachFrameRun(mapping) { offset, frame, pages in
      for slot in mapping.dirtySlots where slot >= offset && slot < offset + pages {
        dirty.append(PFN(frame + slot - offset))
      }
    }
    for pfn in dirty.sorted(by: { $0.index < $1.index }) {
      if let folio = folio(of: pfn) { setFlags(folio.head, insert: .dirty) }
    }
  }

  // MARK: What the frames are

  /// Whether any of some frames has a `struct page`.
  package func isMemory(_ frames: Range<Int>) -> Bool {
    memory.contains { $0.start < frames.upperBound && frames.lowerBound < $0.end }
  }

  package func isHugetlb(_ folio: Folio) -> Bool {
    frames.head(folio.head).flags.contains(.hugetlb)
  }

  /// Whether a leaf maps all of a folio.
  package func isMappedEntirely(_ folio: Folio) -> Bool {
    folio.order > 0 && folios.entireMappings(folio) > 0
  }

  // MARK: Whose pin it is

  /// The mapping that holds a pin, and its device.
  public func deviceMapping(
    ofPin pin: Int
  ) -> (device: DeviceAttachment, mapping: DeviceMapping)? {
    for device in devices.attachments {
      if let mapping = device.mappings.first(where: { $0.pin == pin }) { return (device, mapping) }
    }
    return nil
  }

  /// Where the device of a pin sees the first page that it holds of a folio, in bytes.
  public func firstIOVA(of folio: Folio, in record: PinRecord) -> Int? {
    guard let (device, mapping) = deviceMapping(ofPin: record.id), device.kind.hasIOVA else {
      return nil
    }
    var found: Int?
    forEachFrameRun(mapping) { offset, frame, pages in
      let start = max(frame, folio.head.index)
      if found == nil, start < min(frame + pages, folio.head.index + folio.pages) {
        found = offset + start - frame
      }
    }
    return found.map { (mapping.iova + $0) << geometry.pageShift }
  }

  /// The frames of a mapping as runs of neighbours, in the order of its pages.
  ///
  /// - Parameter body: Gets the page of the mapping, the frame and the length.
  public func forEachFrameRun(_ mapping: DeviceMapping, _ body: (Int, Int, Int) -> Void) {
    var run: (offset: Int, frame: Int, pages: Int)?
    var offset = 0
    var gaps = mapping.deviceFrames[...]
    func add(_ frame: Int, _ pages: Int) {
      if let current = run, current.frame + current.pages == frame {
        run = (current.offset, current.frame, current.pages + pages)
      } else {
        if let done = run { body(done.offset, done.frame, done.pages) }
        run = (offset, frame, pages)
      }
      offset += pages
    }
    func passGaps() {
      while let gap = gaps.first, gap.offset == offset {
        gaps.removeFirst()
        add(gap.first, gap.pages)
      }
    }
    if let record = mapping.pin.flatMap({ pin($0) }) {
      if record.isGivingBack {
        // What is left stands at the end.
        offset = mapping.pages
        forEachRun(record) { offset -= $1 }
        gaps.removeAll()
      }
      forEachRun(record) { first, pages in
        passGaps()
        add(first.index, pages)
      }
    }
    passGaps()
    if let done = run { body(done.offset, done.frame, done.pages) }
  }
}
