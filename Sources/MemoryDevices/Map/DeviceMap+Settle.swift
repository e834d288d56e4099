// Invariant: everything is pinned by now; what it refuses is given back by its caller.

internal import MemoryModel

extension DeviceMap {
  /// Makes the mapping of what was pinned, and counts it.
  ///
  /// - Returns: Its number, or why the driver refuses it after all.
  mutating func settle(
    _ machine: inout Machine, _ device: DeviceAttachment
  ) -> Result<Int, Refusal> {
    var mapping = DeviceMapping(
      id: machine.devices.lastMapping + 1, iova: iova, startPage: startPage, pages: pages,
      isWrite: isWrite, pin: record)
    mapping.charged = charged
    mapping.corrupted = corrupted
    for range in frames {
      guard let first = deviceFrames(machine, device, range) else {
        return .failure(
          Refusal(
            .EFAULT,
            "0x\(String(range.lowerBound << machine.geometry.pageShift, radix: 16)) shows memory "
              + "with a struct page, or may not be written", rule: "P7.8"))
      }
      mapping.deviceFrames.append(
        .init(offset: range.lowerBound - startPage, first: first, pages: range.count))
    }
    let refusal: Refusal?
    switch device.kind {
    case .vfioV1, .vfioV2: refusal = settleVFIO(&machine, device, &mapping)
    case .iommufd: refusal = settleIOMMUFD(&machine, device, &mapping)
    case .rdma: refusal = settleRDMA(machine, device, &mapping)
    case .ioUring: refusal = settleRing(&machine, device, &mapping)
    case .spapr: refusal = settleSPAPR(machine, device, &mapping)
    case .odp: refusal = nil
    }
    if let refusal { return .failure(refusal) }
    mapping.costs = costs
    if let record { machine.setPinCosts(record, costs) }
    machine.devices.lastMapping += 1
    machine.devices.attachments[attachment].mappings.append(mapping)
    return .success(mapping.id)
  }

  /// The first frame of some device memory; nil when it is memory of the machine, or may not be written
  /// (rule P7.8).
  ///
  /// Kernel: `follow_fault_pfn()`, `is_invalid_reserved_pfn()`.
  private func deviceFrames(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ range: Range<Int>
  ) -> Int? {
    guard let area = machine.spaces[device.space].area(range.lowerBound),
      case .device(let frame) = area.backing, !isWrite || area.flags.contains(.write)
    else { return nil }
    let first = frame + range.lowerBound - area.start
    return machine.isMemory(first..<first + range.count) ? nil : first
  }

  // MARK: VFIO

  /// Runs, their calls of the IOMMU, and the pages that a broken run pins twice (rules P7.1 to P7.3).
  private mutating func settleVFIO(
    _ machine: inout Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) -> Refusal? {
    var runs = VFIORuns(
      pages: pages, batch: device.batch(machine), gaps: mapping.deviceFrames[...],
      zeroPage: machine.zeroPage?.index, endsEachPage: device.disablesHugePages)
    let held = record.flatMap { machine.pin($0) }
    if let held { machine.forEachRun(held) { runs.add($0.index, $1) } }
    runs.passGaps()
    guard runs.accountable <= machine.memlockRoom(device) else {
      machine.logMemlock(device.space)
      return limitRefusal(machine, device, pages)
    }
    if let held { for pfn in runs.repinned { countRepin(&machine, PFN(pfn), held) } }
    costs.calls += runs.frameLookups
    mapping.iommuMaps = device.disablesHugePages ? pages : runs.count
    if machine.kernel.pinning.vfioSkipsTails { findForeign(&machine, device, &mapping) }
    mapping.repins = runs.repinned.count
    mapping.frameLookups = runs.frameLookups
    mapping.charged = runs.accountable
    countRuns(machine, &mapping)
    machine.charge(attachment, runs.accountable)
    return nil
  }

  /// Pages whose frames were guessed, and guessed wrongly: the device reaches memory that the process does
  /// not show (rules P2.24, P7.9).
  private func findForeign(
    _ machine: inout Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) {
    var found: (offset: Int, frame: Int)?
    var foreign = 0
    machine.forEachFrameRun(mapping) { offset, frame, pages in
      for index in 0..<pages
      where machine.frame(device.space, page: startPage + offset + index)?.index != frame + index {
        if found == nil { found = (offset + index, frame + index) }
        foreign += 1
      }
    }
    mapping.foreign = foreign
    guard let found else { return }
    let shown = machine.frame(device.space, page: startPage + found.offset)
    machine.noteViolation(
      "I7: \(device.name) maps pfn 0x\(String(found.frame, radix: 16)) where its process shows "
        + (shown.map { "\($0)" } ?? "nothing") + " (rule P7.9)")
  }

  private func countRuns(_ machine: borrowing Machine, _ mapping: inout DeviceMapping) {
    var runs = 0
    machine.forEachFrameRun(mapping) { _, _, _ in runs += 1 }
    mapping.runs = runs
  }

  // MARK: The others

  /// Runs of a pfn and a count; all is pinned before it is counted (rule P7.10).
  private mutating func settleIOMMUFD(
    _ machine: inout Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) -> Refusal? {
    guard pages <= machine.memlockRoom(device) else {
      return limitRefusal(machine, device, pages)
    }
    countRuns(machine, &mapping)
    mapping.records = mapping.runs
    mapping.bytes = mapping.runs * 12
    mapping.iommuMaps = mapping.runs
    mapping.charged = pages
    machine.charge(attachment, pages)
    return nil
  }

  /// A scatter list, neighbours merged across batches, segments of limited length (rule P7.20).
  private func settleRDMA(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) -> Refusal? {
    let limit = max(1, device.maximumSegment >> machine.geometry.pageShift)
    var records = 0
    var runs = 0
    machine.forEachFrameRun(mapping) { _, _, pages in
      runs += 1
      records += (pages + limit - 1) / limit
    }
    mapping.runs = runs
    mapping.records = records
    mapping.bytes = records * 32
    return nil
  }

  /// Slots of eight bytes, and the IOMMU page that the whole region allows (rules P7.40, P7.41).
  private func settleSPAPR(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) -> Refusal? {
    // Other regions are looked at when all is pinned.
    if let other = device.mappings.first(where: { $0.range.overlaps(mapping.range) }) {
      return Refusal(
        .EINVAL,
        "it overlaps the region of mapping #\(other.id); register the same range, or another",
        rule: "P7.40")
    }
    countRuns(machine, &mapping)
    mapping.records = pages
    mapping.bytes = pages * 8
    var shift = (startPage | pages).trailingZeroBitCount
    let alsoTHP = !machine.kernel.pinning.pinsRegionsInChunks
    if shift > 0, let held = record.flatMap({ machine.pin($0) }) {
      machine.forEachRun(held) { first, _ in
        guard let folio = machine.folio(of: first) else { return }
        let counts =
          machine.isHugetlb(folio) || alsoTHP && machine.isMappedEntirely(folio)
        shift = min(shift, counts ? folio.order : 0)
      }
    }
    mapping.pageShift = machine.geometry.pageShift + shift
    return nil
  }
}

/// The pages of a container as `vfio_pin_pages_remote()` sees them: where runs break, which page it pins
/// twice, and what counts against the limit.
struct VFIORuns {
  let pages: Int
  let batch: Int
  var gaps: ArraySlice<DeviceMapping.DeviceFrames>
  let zeroPage: Int?
  let endsEachPage: Bool
  /// Calls of the IOMMU.
  private(set) var count = 0
  private(set) var repinned: [Int] = []
  private(set) var frameLookups = 0
  private(set) var accountable = 0
  private var offset = 0
  /// Where the calls began that take the next page.
  private var callsBegin = 0
  private var end: Int?
  private var isReserved = false

  init(
    pages: Int, batch: Int, gaps: ArraySlice<DeviceMapping.DeviceFrames>, zeroPage: Int?,
    endsEachPage: Bool
  ) {
    self.pages = pages
    self.batch = batch
    self.gaps = gaps
    self.zeroPage = zeroPage
    self.endsEachPage = endsEachPage
  }

  /// Pinned pages whose frames are neighbours.
  mutating func add(_ first: Int, _ pages: Int) {
    passGaps()
    let isZero = first == zeroPage
    if follow(first, pages, isReserved: isZero) {
      // A call that brought this page alone is forgotten, and made again; a larger batch keeps the
      // rest for the next run (rule P7.3).
      let index = (offset - callsBegin) % batch
      let left = (gaps.first?.offset ?? self.pages) - offset
      if index == 0, min(batch, left) == 1 { repinned.append(first) }
    }
    if !isZero { accountable += pages }
    offset += pages
  }

  /// Device memory that stands here: each page is a call of its own (rule P7.8).
  mutating func passGaps() {
    while let gap = gaps.first, gap.offset == offset {
      gaps.removeFirst()
      let breaks = follow(gap.first, gap.pages, isReserved: true)
      frameLookups += gap.pages + (breaks ? 1 : 0)
      offset += gap.pages
      callsBegin = offset
    }
  }

  /// - Returns: Whether the run before it ends here.
  private mutating func follow(_ first: Int, _ pages: Int, isReserved: Bool) -> Bool {
    let continues = first == end && isReserved == self.isReserved
    let breaks = end != nil && !continues && !endsEachPage
    if !continues { count += 1 }
    end = first + pages
    self.isReserved = isReserved
    return breaks
  }
}

extension DeviceMap {
  /// Counts a call that pinned one page, which was given back at once.
  private mutating func countRepin(
    _ machine: inout Machine, _ pfn: PFN, _ held: PinRecord
  ) {
    let isLarge = machine.folio(of: pfn).map { $0.order > 0 } ?? false
    let atomics = isLarge && !held.isGet ? 2 : 1
    costs.calls += 1
    costs.walks += 1
    costs.entryReads += 4
    costs.pinAtomics += atomics
    costs.unpinAtomics += atomics
    costs.arrayWrites += 1
    if held.isLongTerm {
      costs.rounds += 1
      costs.rescanReads += 1
      costs.lookups += 1
    }
    if !held.isGet, pfn != machine.zeroPage { machine.countForgottenPins(1, at: pfn) }
  }
}
