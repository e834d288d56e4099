/// The two ends of a doubly linked list that is threaded through a ``FrameTable``.
///
/// The head is the end from which blocks are taken (rule A0.3). Lists are never sorted: their
/// order is the history of inserts. A link names a frame or a pageblock, and 0 means "none".
public struct FrameList: BitwiseCopyable, Sendable, Equatable, Codable {
  var head: UInt32
  var tail: UInt32
  /// The number of blocks on the list.
  public internal(set) var count: UInt32

  public static let empty = FrameList(head: 0, tail: 0, count: 0)

  public var isEmpty: Bool { head == 0 }
}
