// Invariant: what the call has got so far is in `pages` and `reverseMap`; once it ends, either the
// process's record names all of it or all of it is free again.

public import MemoryModel

/// Making the hash page table of a powerpc guest (rules P5.21 to P5.23).
///
/// ```
/// release ─► area ─► buddy ─► reverseMap… ─► install
///             ▲        │
///             └────────┘ no memory, and nobody asked for this order: the next smaller one
/// ```
/// Kernel: `kvmppc_alloc_reset_hpt()`, `kvmppc_hv_setup_htab_rma()`,
/// arch/powerpc/kvm/book3s_64_mmu_hv.c and book3s_hv.c.
public struct HashTableAllocation: ExplorableOperation {
  private enum Phase: Hashable, Sendable {
    case release, area, buddy, reverseMap, install, finished
  }

  public let space: Int
  public private(set) var outcome: Result<HashPageTable, Refusal>?
  /// Candidates of the area that were tried, over all orders.
  public private(set) var attempts = 0
  /// Pages that moved out of the way.
  public private(set) var migratedPages = 0
  /// The last candidate that failed.
  public private(set) var last: PFNRange?
  /// The order that is being tried, log2 of bytes.
  public private(set) var order: Int
  private let isDefault: Bool
  private var phase = Phase.release
  private var call: CMAAllocation?
  private var found: HashPageTable?

  static let slicePages = 1 << 12

  /// - Parameter order: log2 of bytes, or nil for what the first run tries when nobody asked: 24, and
  ///   smaller ones down to 18.
  public init(space: Int, order: Int?) {
    self.space = space
    self.order = order ?? HashPageTable.defaultOrder
    isDefault = order == nil
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    switch phase {
    case .release:
      guard HashPageTable.orders.contains(order) else {
        end(
          Refusal(
            .EINVAL, "order \(order): hash page tables have orders 18 to 46", rule: "P5.21"))
        break
      }
      if let old = machine.spaces[space].hashTable {
        // A table of the same order is only cleared.
        if old.order == order || isDefault {
          outcome = .success(old)
          phase = .finished
          break
        }
        machine.freeHashTable(of: space)
      }
      phase = .area
    case .area: return advanceArea(&machine, pace)
    case .buddy:
      let result = machine.allocateBuddyHashTable(order: order)
      if let pfn = result.pfn {
        found = HashPageTable(
          order: order, pfn: pfn, pages: pages(machine), area: nil, reverseMap: [])
        phase = .reverseMap
      } else {
        refuse("no \(pages(machine)) neighbouring pages, neither in CMA nor in the buddy")
      }
    case .reverseMap: growReverseMap(&machine, pace == .step ? 1 : Self.slicePages)
    case .install:
      guard let found else { break }
      machine.install(found, space: space)
      outcome = .success(found)
      phase = .finished
    case .finished: break
    }
    return phase == .finished ? .finished : .running
  }

  private func pages(_ machine: borrowing Machine) -> Int {
    1 << (order - machine.geometry.pageShift)
  }

  /// Kernel: `kvm_alloc_hpt_cma()`.
  private mutating func advanceArea(_ machine: inout Machine, _ pace: Pace) -> Progress {
    guard let area = machine.hashTableArea else {
      phase = .buddy
      return .running
    }
    var work =
      call
      ?? CMAAllocation(
        area: area, pages: pages(machine), alignment: machine.hashTableAlignment, noWarn: false)
    call = nil
    let state = work.advance(&machine, pace)
    guard let result = work.outcome else {
      call = work
      return state
    }
    attempts += result.attempts
    migratedPages += result.migratedPages
    if let pfn = result.pfn {
      found = HashPageTable(
        order: order, pfn: pfn, pages: pages(machine), area: area, reverseMap: [])
      phase = .reverseMap
    } else {
      last = result.last
      phase = .buddy
    }
    return .running
  }

  private mutating func growReverseMap(_ machine: inout Machine, _ limit: Int) {
    guard var table = found else { return }
    found = nil
    var left = min(limit, machine.reverseMapPages(order: order) - table.reverseMapPages)
    while left > 0 {
      guard let pfn = machine.allocateReverseMapPage() else {
        machine.free(table)
        return refuse("no memory for the reverse map of \(table.pages) pages")
      }
      table.reverseMap.append(joining: PFNRun(pfn, count: 1))
      left -= 1
    }
    if table.reverseMapPages == machine.reverseMapPages(order: order) { phase = .install }
    found = table
  }

  /// ENOMEM: the end for an order that somebody asked for, the next smaller one otherwise.
  private mutating func refuse(_ text: String) {
    guard isDefault, order > HashPageTable.orders.lowerBound else {
      return end(Refusal(.ENOMEM, "hash page table of order \(order): " + text, rule: "P5.21"))
    }
    order -= 1
    phase = .area
  }

  private mutating func end(_ refusal: Refusal) {
    outcome = .failure(refusal)
    phase = .finished
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if phase == .finished { return }
    call?.interrupt(&machine)
    if let pfn = call?.outcome?.pfn, let area = machine.hashTableArea {
      found = HashPageTable(
        order: order, pfn: pfn, pages: pages(machine), area: area, reverseMap: [])
    }
    call = nil
    if let found { machine.free(found) }
    found = nil
    end(Refusal(.EINTR, "the hash page table was not finished", rule: "P5.21"))
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .release:
      return Step("h1", "kvmppc_alloc_reset_hpt", "free a table of another order")
    case .area:
      return call?.nextStep(machine)
        ?? Step("h2", "kvm_alloc_hpt_cma", "ask kvm_cma for a table of order \(order)")
    case .buddy:
      return Step("h3", "kvmppc_allocate_hpt", "ask the buddy for a table of order \(order)")
    case .reverseMap: return Step("h4", "vmalloc", "allocate a page of the reverse map")
    case .install, .finished:
      return Step("h5", "kvmppc_set_hpt", "give the guest its table")
    }
  }
}
