/// The last events, oldest first, and how many were lost.
public struct TraceRing: ~Copyable {
  /// 65,536 events of 16 bytes: 1 MiB, of which only what is used becomes resident.
  public static let capacity = 1 << 16

  private var events: Arena<TraceEvent>
  /// Events since boot or since the last `clear()`.
  public private(set) var total = 0

  init() throws(MemoryError) { events = try Arena(count: Self.capacity) }

  mutating func assign(from other: borrowing TraceRing) {
    events.assign(from: other.events)
    total = other.total
  }

  mutating func append(_ event: TraceEvent) {
    events[total & (Self.capacity - 1)] = event
    total &+= 1
  }

  public mutating func clear() { total = 0 }

  /// Events that were overwritten before anybody read them.
  public var lost: Int { max(0, total - Self.capacity) }

  /// The events still held with a number of at least `first`, in order.
  public func events(from first: Int = 0) -> [TraceEvent] {
    (max(first, lost)..<max(first, lost, total)).map { events[$0 & (Self.capacity - 1)] }
  }
}
