// Invariant: all or nothing. While it runs, the pages are those of `pin`'s record; when it ends with a
// refusal none is left, and nothing is charged (I9).

public import MemoryModel
import MemoryOperations

/// What came of a map call.
public struct DeviceMapOutcome: Sendable, Hashable {
  /// The number of the mapping.
  public var mapping: Int?
  public var refusal: Refusal?
  /// Folios that refused to move.
  public var stuck: [PFN]
  public var costs: OperationCosts
}

/// Gives a device a range of a process's memory (rules P7.1 to P7.42).
///
/// Kernel: `vfio_dma_do_map()`, `iopt_map_user_pages()`, `ib_umem_get()`, `io_sqe_buffer_register()`,
/// `mm_iommu_do_alloc()`.
public struct DeviceMap: ExplorableOperation {
  private enum Phase: Sendable, Hashable { case begin, pin, move, settle, giveBack(Refusal), done }

  public let attachment: Int
  public private(set) var outcome: DeviceMapOutcome?
  public private(set) var costs = OperationCosts()
  private let startPage: Int
  private let pages: Int
  private let iova: Int
  private let isWrite: Bool
  private var phase = Phase.begin
  private var pin: Pin?
  private var legacy: PageByPageRegistration?
  private var record: Int?
  private var stuck: [PFN] = []
  private var corrupted = 0
  /// Pages that may be charged; the pin ends with the call that meets the limit.
  private var room = Int.max
  private var isPFNMap = false
  private var words = 0

  /// - Parameter iova: Where the device sees it, in pages.
  public init(attachment: Int, startPage: Int, pages: Int, iova: Int, isWrite: Bool) {
    self.attachment = attachment
    self.startPage = startPage
    self.pages = pages
    self.iova = iova
    self.isWrite = isWrite
  }

  public var summary: CallSummary? {
    guard let outcome else { return nil }
    guard let mapping = outcome.mapping else {
      return CallSummary(
        outcome.refusal ?? Refusal(.EINVAL, "nothing was mapped", rule: "P7.4"))
    }
    return CallSummary("mapped", key: mapping)
  }

  /// Rounds in a row in which nothing could be isolated.
  public var idleRounds: Int { pin?.idleRounds ?? 0 }
  /// Rounds of pin and migrate so far.
  public var rounds: Int { pin?.costs.rounds ?? 0 }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    guard let device = machine.devices.attachment(attachment) else { return .finished }
    switch phase {
    case .begin: begin(&machine, device)
    case .pin:
      guard var work = pin else { return .finished }
      pin = nil
      let progress = work.advance(&machine, pace)
      pin = work
      switch progress {
      case .waiting(let wait): return .waiting(wait)
      case .running: break
      case .finished: endPin(&machine, device)
      }
    case .move:
      legacy?.advance(&machine, pace)
      if let result = legacy?.result {
        costs += legacy?.costs ?? OperationCosts()
        record = result.pin
        corrupted = result.corrupted
        legacy = nil
        phase = result.refusal.map { .giveBack($0) } ?? .settle
      }
    case .settle: settle(&machine, device)
    case .giveBack(let refusal): giveBack(&machine, refusal, pace)
    case .done: return .finished
    }
    if case .done = phase { return .finished }
    return .running
  }

  // MARK: Beginning

  private mutating func begin(_ machine: inout Machine, _ device: DeviceAttachment) {
    if let refusal = argumentRefusal(device) { return end(refusal) }
    if device.kind == .spapr,
      let shared = machine.shareRegistration(
        attachment: device.id, startPage: startPage, pages: pages)
    {
      outcome = DeviceMapOutcome(mapping: shared, refusal: nil, stuck: [], costs: costs)
      phase = .done
      return
    }
    if device.kind == .odp { return settle(&machine, device) }
    var flags: GUPFlags = [.longTerm]
    if isWrite { flags.insert(.write) }
    var request = PinRequest(
      space: device.space, startPage: startPage, pages: pages, flags: flags, holder: device.name)
    room = machine.memlockRoom(device.space, counted: counted(machine, device))
    switch device.kind {
    case .vfioV1, .vfioV2:
      if let area = machine.spaces[device.space].area(startPage),
        !area.flags.isDisjoint(with: [.io, .pfnMap])
      {
        // Frames are read from the page table; nothing is pinned or charged (rule P7.8).
        guard startPage + pages <= area.end else {
          return end(Refusal(.EFAULT, "the range leaves the device memory", rule: "P7.8"))
        }
        isPFNMap = true
        return settle(&machine, device)
      }
      request.entryPoint = .remote
      let batch = machine.kernel.pinning.vfioBatch
      request.callPages = batch
      // The call that meets the limit has pinned its pages before they are counted (rule P7.5).
      if room < pages { request.pages = min(pages, (room / batch + 1) * batch) }
    case .iommufd:
      request.entryPoint = .fast
      request.callPages = 8192
      if room < pages { return end(limitRefusal(machine, device)) }
    case .rdma:
      request.entryPoint = .fast
      request.callPages = 512
      if room < pages { return end(limitRefusal(machine, device)) }
    case .ioUring:
      request.entryPoint = .fast
    case .spapr:
      if room < pages { return end(limitRefusal(machine, device)) }
      switch machine.kernel.pinning.registration {
      case .longTerm:
        // Chunks of the largest block's bytes in pointers (rule P3.57).
        request.callPages = (1 << machine.geometry.maxOrder) * machine.geometry.pageSize / 8
      case .plain:
        request.flags = isWrite ? [.write, .get] : .get
        request.entryPoint = .fast
        request.callPages = 1
      case .helper:
        request.flags.insert(.get)
        request.checksAlways = true
      case .pageByPage, .rfc2015:
        legacy = PageByPageRegistration(
          space: device.space, startPage: startPage, pages: pages, isWrite: isWrite,
          holder: device.name)
        phase = .move
        return
      }
    case .odp: break
    }
    pin = Pin(request)
    phase = .pin
  }

  /// What the limit is compared with: pages that are charged to the same counter.
  private func counted(_ machine: borrowing Machine, _ device: DeviceAttachment) -> Int {
    switch device.kind {
    case .rdma: machine.spaces[device.space].pinnedPages
    case .ioUring: machine.devices.userLockedPages
    default: machine.spaces[device.space].lockedPages
    }
  }

  private func argumentRefusal(_ device: DeviceAttachment) -> Refusal? {
    if pages == 0 { return Refusal(.EINVAL, "the size is 0", rule: "P7.4") }
    switch device.kind {
    case .ioUring where pages > (1 << 30) >> 12:
      return Refusal(.EFAULT, "a registered buffer has at most 1 GiB", rule: "P7.30")
    case .ioUring where device.mappings.count >= 16384:
      return Refusal(.EINVAL, "a ring has at most 16384 buffers", rule: "P7.30")
    case .vfioV1, .vfioV2, .iommufd:
      if device.mappings.contains(where: { $0.iova < iova + pages && iova < $0.iova + $0.pages }) {
        return Refusal(.EEXIST, "a part of the iova range is mapped already", rule: "P7.4")
      }
      if device.mappings.count >= device.entryLimit {
        return Refusal(
          .ENOSPC, "the container holds \(device.entryLimit) mappings, its limit", rule: "P7.4")
      }
    default: break
    }
    return nil
  }

  private func limitRefusal(
    _ machine: borrowing Machine, _ device: DeviceAttachment
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
    return Refusal(
      .ENOMEM,
      "RLIMIT_MEMLOCK (\(limit) bytes) exceeded: \(counted(machine, device)) pages are "
        + "counted already, \(pages) more are asked for", rule: rule)
  }

  // MARK: After the pin

  private mutating func endPin(_ machine: inout Machine, _ device: DeviceAttachment) {
    guard let result = pin?.outcome else { return end(Refusal(.EINTR, "killed", rule: "P3.20")) }
    costs += result.costs
    record = result.pin
    stuck = result.stuck
    if result.pages < min(pages, room) || result.refusal != nil && result.pages < pages {
      var refusal = result.refusal ?? Refusal(.EFAULT, "a page is missing", rule: "P7.4")
      if device.kind == .ioUring, result.pages > 0 {
        refusal = Refusal(
          .EFAULT, "only \(result.pages) of \(pages) pages could be pinned: \(refusal.message)",
          rule: "P7.30")
      }
      phase = .giveBack(refusal)
    } else if room < pages, device.kind.isVFIO {
      phase = .giveBack(limitRefusal(machine, device))
    } else {
      phase = .settle
    }
  }

  private mutating func giveBack(
    _ machine: inout Machine, _ refusal: Refusal, _ pace: Pace
  ) {
    guard let id = record, let held = machine.pin(id) else { return end(refusal) }
    let range = machine.pinWords(id)
    let position = machine.unpin(
      range.lowerBound + words..<range.upperBound, held.isGet ? .get : .pin,
      limit: pace == .slice ? 1 << 20 : 1, batched: device(machine).unpinsInBatches(machine),
      dirty: false, &costs)
    words = position - range.lowerBound
    guard position == range.upperBound else { return }
    machine.removePin(id)
    record = nil
    end(refusal)
  }

  private func device(_ machine: borrowing Machine) -> DeviceAttachment {
    machine.devices.attachments[attachment]
  }

  private mutating func settle(_ machine: inout Machine, _ device: DeviceAttachment) {
    var mapping = DeviceMapping(
      id: machine.devices.lastMapping + 1, iova: iova, startPage: startPage, pages: pages,
      isWrite: isWrite, pin: record)
    machine.devices.lastMapping += 1
    if let record, let held = machine.pin(record) {
      switch device.kind {
      case .vfioV1, .vfioV2: settleVFIO(&machine, held, device, &mapping)
      case .iommufd: settleIOMMUFD(&machine, held, device, &mapping)
      case .rdma: settleRDMA(&machine, held, device, &mapping)
      case .ioUring:
        if let refusal = settleRing(&machine, held, device, &mapping) {
          phase = .giveBack(refusal)
          return
        }
      case .spapr:
        mapping.charged = pages
        mapping.records = pages
        mapping.bytes = pages * 8
        machine.charge(device.space, locked: pages)
      case .odp: break
      }
    } else if isPFNMap {
      mapping.runs = 1
      mapping.iommuMaps = 1
    }
    mapping.corrupted = corrupted
    mapping.costs = costs
    machine.devices.attachments[attachment].mappings.append(mapping)
    outcome = DeviceMapOutcome(
      mapping: mapping.id, refusal: nil, stuck: stuck, costs: costs)
    phase = .done
  }

  /// Runs, their calls of the IOMMU, and the page that each broken run pins twice (rules P7.1 to P7.3).
  private mutating func settleVFIO(
    _ machine: inout Machine, _ held: PinRecord, _ device: DeviceAttachment,
    _ mapping: inout DeviceMapping
  ) {
    let batch = machine.kernel.pinning.vfioBatch
    var again = 0
    var end = -1
    var done = 0
    var last = PFN(0)
    let isSingle = device.disablesHugePages
    machine.forEachRun(held) { first, count in
      if first.index != end, end >= 0 {
        mapping.runs += 1
        // A batch that holds this page alone is forgotten; larger ones keep the rest (rule P7.3).
        let left = min(batch, pages - done / batch * batch)
        if !isSingle, left == 1, done % batch == 0 {
          again += 1
          last = first
        }
      }
      end = first.index + count
      done += count
    }
    mapping.runs += 1
    mapping.iommuMaps = isSingle ? pages : mapping.runs
    if again > 0 { machine.countPinsTaken(again, at: last, isCounted: !held.isGet, costs: &costs) }
    mapping.charged = pages
    machine.charge(device.space, locked: pages)
  }

  private mutating func settleIOMMUFD(
    _ machine: inout Machine, _ held: PinRecord, _ device: DeviceAttachment,
    _ mapping: inout DeviceMapping
  ) {
    mapping.runs = machine.scatterRecords(machine.pinWords(held.id))
    mapping.records = mapping.runs
    mapping.bytes = mapping.runs * 12
    mapping.iommuMaps = mapping.runs
    mapping.charged = pages
    machine.charge(device.space, locked: pages, pinned: pages)
  }

  private mutating func settleRDMA(
    _ machine: inout Machine, _ held: PinRecord, _ device: DeviceAttachment,
    _ mapping: inout DeviceMapping
  ) {
    let limit = max(1, device.maximumSegment / machine.geometry.pageSize)
    var end = -1
    var length = 0
    machine.forEachRun(held) { first, count in
      if first.index != end {
        mapping.runs += 1
        mapping.records += (length + limit - 1) / limit
        length = 0
      }
      length += count
      end = first.index + count
    }
    mapping.records += (length + limit - 1) / limit
    mapping.bytes = mapping.records * 32
    mapping.charged = pages
    machine.charge(device.space, pinned: pages)
  }

  // MARK: Ending

  private mutating func end(_ refusal: Refusal) {
    outcome = DeviceMapOutcome(mapping: nil, refusal: refusal, stuck: stuck, costs: costs)
    phase = .done
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if case .done = phase { return }
    pin?.interrupt(&machine)
    legacy?.interrupt(&machine)
    if let id = legacy?.result?.pin { record = id }
    pin = nil
    legacy = nil
    var left = 0
    while case .giveBack = phase, left < 1 << 20 {
      _ = advance(&machine, .slice)
      left += 1
    }
    if case .done = phase { return }
    giveBack(&machine, Refusal(.EINTR, "a fatal signal came", rule: "P3.20"), .slice)
    while outcome == nil {
      giveBack(&machine, Refusal(.EINTR, "a fatal signal came", rule: "P3.20"), .slice)
    }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .pin: pin?.nextStep(machine) ?? Step("d1", "pin_user_pages_remote", "pin")
    case .move: legacy?.nextStep(machine) ?? Step("d1", "mm_iommu_get", "pin page by page")
    case .begin: Step("d0", "vfio_dma_do_map", "check the arguments")
    case .settle: Step("d2", "iommu_map", "map the runs of frames for the device")
    case .giveBack: Step("d3", "unpin_user_pages", "give back what was pinned")
    case .done: Step("d4", "vfio_dma_do_map", "return")
    }
  }
}

extension DeviceAttachment {
  /// Whether its pages are given back folio by folio: VFIO and powerpc go page by page to this day
  /// (rules P7.7, P7.42).
  func unpinsInBatches(_ machine: borrowing Machine) -> Bool {
    !kind.isVFIO && kind != .spapr && machine.kernel.pinning.unpinBatch
  }
}

extension Machine {
  /// Pins of single pages that were given back at once: only the counters remember them.
  mutating func countPinsTaken(
    _ count: Int, at pfn: PFN, isCounted: Bool, costs: inout OperationCosts
  ) {
    costs.calls += count
    costs.walks += count
    costs.entryReads += 4 * count
    costs.pinAtomics += count
    costs.arrayWrites += count
    costs.rescanReads += count
    costs.lookups += count
    costs.unpinAtomics += count
    if isCounted { countForgottenPins(count, at: pfn) }
  }
}
