// Invariant: all or nothing. While it runs, the pages are those of `pin`'s record, and `charged` is part
// of the device's account; when it ends with a refusal none is left, and nothing is charged (I9).

public import MemoryModel
internal import MemoryOperations

/// What came of a map call.
public struct DeviceMapOutcome: Sendable, Hashable {
  /// The number of the mapping.
  public var mapping: Int?
  public var refusal: Refusal?
  /// The positive number that powerpc's call returns after a short count, instead of an error (rule
  /// P7.40).
  public var leakedCount: Int?
  /// Folios that refused to move.
  public var stuck: [PFN]
  public var costs: OperationCosts
}

/// Gives a device a range of a process's memory (rules P7.1 to P7.42).
///
/// Kernel: `vfio_dma_do_map()`, `iopt_map_user_pages()`, `ib_umem_get()`, `io_sqe_buffer_register()`,
/// `mm_iommu_do_alloc()`.
public struct DeviceMap: ExplorableOperation {
  private enum Phase: Hashable, Sendable {
    case begin, pin, move, settle, giveBack(Refusal), done
  }

  public let attachment: Int
  public private(set) var outcome: DeviceMapOutcome?
  public internal(set) var costs = OperationCosts()
  let startPage: Int
  let pages: Int
  let iova: Int
  let isWrite: Bool
  private var phase = Phase.begin
  private var pin: Pin?
  private var legacy: PageByPageRegistration?
  private(set) var record: Int?
  private(set) var stuck: [PFN] = []
  private(set) var corrupted = 0
  /// Device memory of the range, whose frames are looked up (rule P7.8).
  private(set) var frames: [Range<Int>] = []
  /// Pages that were charged before they were pinned.
  private(set) var charged = 0
  private var leakedCount: Int?
  private var isBusy = false
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
  /// Rounds of the driver's call under way that found pages which may not stay, and what they moved.
  public var roundsOfCall: (count: Int, moved: Int) {
    (pin?.roundsOfCall ?? 0, pin?.movedByCall ?? 0)
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    pin?.holdings(machine) ?? legacy?.holdings(machine) ?? Holdings()
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    guard let device = machine.devices.attachment(attachment) else { return .finished }
    switch phase {
    case .begin:
      // VFIO and io_uring hold a mutex of their own during the whole call.
      guard !device.isBusy else { return .waiting(.device(attachment)) }
      begin(&machine, device)
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
    case .settle:
      switch settle(&machine, device) {
      case .success(let mapping): end(&machine, .success(mapping))
      case .failure(let refusal): phase = .giveBack(refusal)
      }
    case .giveBack(let refusal): giveBack(&machine, refusal, pace)
    case .done: return .finished
    }
    if case .done = phase { return .finished }
    return .running
  }

  // MARK: Beginning

  private mutating func begin(_ machine: inout Machine, _ device: DeviceAttachment) {
    if let refusal = argumentRefusal(machine, device) { return refuse(refusal) }
    isBusy = true
    machine.setBusy(device: attachment, device.holdsMutex)
    machine.countOperation(device.space, 1)
    if device.kind == .odp {
      phase = .settle
      return
    }
    // RDMA and powerpc count the pages before they pin any (rules P7.20, P7.40).
    if device.kind == .rdma || device.kind == .spapr {
      guard pages <= machine.memlockRoom(device) else {
        phase = .giveBack(limitRefusal(machine, device, pages))
        return
      }
      machine.charge(attachment, pages)
      charged = pages
    }
    if device.kind == .spapr, machine.kernel.pinning.movesRegionsPageByPage {
      legacy = PageByPageRegistration(
        space: device.space, startPage: startPage, pages: pages, isWrite: isWrite,
        holder: device.name)
      phase = .move
      return
    }
    pin = Pin(request(machine, device))
    phase = .pin
  }

  /// How the driver asks for its pages.
  private func request(_ machine: borrowing Machine, _ device: DeviceAttachment) -> PinRequest {
    var flags: GUPFlags = [.longTerm]
    if isWrite { flags.insert(.write) }
    var request = PinRequest(
      space: device.space, startPage: startPage, pages: pages, flags: flags, entryPoint: .fast,
      holder: device.name)
    switch device.kind {
    case .vfioV1, .vfioV2:
      request.entryPoint = .remote
      request.callPages = device.batch(machine)
      request.skipsTails = machine.kernel.pinning.vfioSkipsTails
      request.passesDeviceMemory = true
      // The call that meets the limit has pinned its pages before they are counted (rule P7.5); pages of
      // zeros, which a read pin may find, count for nobody.
      if isWrite || machine.kernel.pinning.unshares(anonymous: false) {
        let room = machine.memlockRoom(device)
        if room < pages { request.stopsAfter = room }
      }
    case .iommufd: request.callPages = 8192
    case .rdma: request.callPages = 512
    case .ioUring, .odp: break
    case .spapr:
      if machine.kernel.pinning.pinsRegionsInChunks {
        // Chunks of the largest block's bytes in pointers (rule P3.57).
        request.entryPoint = .locked
        request.callPages = (1 << machine.geometry.maxOrder) * machine.geometry.pageSize / 8
      } else if machine.kernel.pinning.pinsRegionsAtOnce {
        request.entryPoint = .locked
        request.flags.insert(.get)
        request.checksAlways = true
      } else {
        request.flags = isWrite ? [.write, .get] : .get
        request.callPages = 1
      }
    }
    return request
  }

  // MARK: After the pin

  private mutating func endPin(_ machine: inout Machine, _ device: DeviceAttachment) {
    guard let work = pin, let result = work.outcome else { return }
    pin = nil
    costs += result.costs
    record = result.pin
    stuck = result.stuck
    frames = work.passed
    let found = result.pages + frames.reduce(0) { $0 + $1.count }
    if let stop = work.request.stopsAfter, result.pages > stop {
      machine.logMemlock(device.space)
      phase = .giveBack(limitRefusal(machine, device, pages))
    } else if found < pages {
      phase = .giveBack(shortRefusal(machine, device, result))
    } else {
      phase = .settle
    }
  }

  /// Why a range of which only a part could be pinned is refused.
  private mutating func shortRefusal(
    _ machine: borrowing Machine, _ device: DeviceAttachment, _ result: PinOutcome
  ) -> Refusal {
    let refusal = result.refusal ?? Refusal(.EFAULT, "a page is missing", rule: "P7.4")
    switch device.kind {
    case .ioUring where result.pages > 0:
      return Refusal(
        .EFAULT, "only \(result.pages) of \(pages) pages could be pinned: \(refusal.message)",
        rule: "P7.30")
    case .spapr where machine.kernel.pinning.pinsRegionsInChunks:
      let chunk = (1 << machine.geometry.maxOrder) * machine.geometry.pageSize / 8
      let last = result.pages % chunk
      if last > 0 {
        leakedCount = last
        return Refusal(
          refusal.errno,
          "only \(result.pages) of \(pages) pages could be pinned, and the call returns \(last), "
            + "which is no error to its caller: \(refusal.message)", rule: "P7.40")
      }
      return refusal
    default: return refusal
    }
  }

  // MARK: Ending

  private mutating func giveBack(
    _ machine: inout Machine, _ refusal: Refusal, _ pace: Pace
  ) {
    guard let id = record, let held = machine.pin(id) else {
      return end(&machine, .failure(refusal))
    }
    let range = machine.pinWords(id)
    let position = machine.unpin(
      range.lowerBound + words..<range.upperBound, held.isGet ? .get : .pin,
      limit: pace == .slice ? 1 << 20 : 1,
      batched: machine.devices.attachments[attachment].unpinsInBatches(machine), dirty: false,
      perFolio: held.isPerFolio, &costs)
    words = position - range.lowerBound
    guard position == range.upperBound else { return }
    machine.removePin(id)
    record = nil
  }

  private mutating func end(_ machine: inout Machine, _ result: Result<Int, Refusal>) {
    let space = machine.devices.attachments[attachment].space
    if isBusy {
      machine.setBusy(device: attachment, false)
      machine.countOperation(space, -1)
      isBusy = false
    }
    switch result {
    case .success(let mapping):
      outcome = DeviceMapOutcome(mapping: mapping, stuck: stuck, costs: costs)
      phase = .done
    case .failure(let refusal):
      machine.charge(attachment, -charged)
      charged = 0
      refuse(refusal)
    }
  }

  private mutating func refuse(_ refusal: Refusal) {
    outcome = DeviceMapOutcome(
      refusal: refusal, leakedCount: leakedCount, stuck: stuck, costs: costs)
    phase = .done
  }

  public mutating func interrupt(_ machine: inout Machine) {
    let killed = Refusal(.EINTR, "a fatal signal came", rule: "P3.20")
    switch phase {
    case .done: return
    case .begin: return refuse(killed)
    case .giveBack: break
    case .pin, .move, .settle:
      pin?.interrupt(&machine)
      legacy?.interrupt(&machine)
      if let id = legacy?.result?.pin { record = id }
      pin = nil
      legacy = nil
      phase = .giveBack(killed)
    }
    while outcome == nil, case .giveBack(let refusal) = phase {
      giveBack(&machine, refusal, .slice)
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

  /// Whether its calls exclude each other: `iommu->lock` of VFIO, `uring_lock`.
  var holdsMutex: Bool { kind.isVFIO || kind == .ioUring }

  /// Pages of one call: without huge pages the batch has room for one.
  ///
  /// Kernel: `vfio_batch_init()`.
  func batch(_ machine: borrowing Machine) -> Int {
    disablesHugePages || machine.kernel.pinning.vfioSkipsTails
      ? 1 : machine.kernel.pinning.vfioBatch
  }
}
