// What could be typed next.

/// The candidates for the word before the cursor.
public struct LuaCompletions: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case name, keyword, field, method
    /// A named field of a constructor, with ` = ` to follow.
    case argument
    /// A value inside quotes.
    case value
  }

  public struct Candidate: Equatable, Sendable {
    public let text: String
    public let kind: Kind
    /// One line about it; empty when nothing is known.
    public let doc: String
  }

  /// Where the replaced word starts, in characters of the line.
  public let start: Int
  /// Sorted by text, each text once.
  public let candidates: [Candidate]
  /// Whether file names may be offered for the word; the prompt knows the files.
  public let wantsFileNames: Bool

  static func none(at cursor: Int) -> LuaCompletions {
    LuaCompletions(start: cursor, candidates: [], wantsFileNames: false)
  }
}
