// How a body fails, and how a run does.

internal import CLuaGate

/// A misuse that a body reports: it becomes a Lua error with the caller's line.
///
/// What the modelled system refuses is not a failure but a result: ``LuaCall/refuse(errno:message:rule:)``.
public struct LuaFailure: Error, CustomStringConvertible {
  public let message: String
  /// Whether the message already says where it happened, as one from a callback does.
  let hasPosition: Bool

  public init(_ message: String) { self.init(message, hasPosition: false) }

  init(_ message: String, hasPosition: Bool) {
    self.message = message
    self.hasPosition = hasPosition
  }

  public var description: String { message }

  /// What a body throws right after ``LuaCall/yieldAgain(_:)``, instead of returning.
  public static let yielding = LuaFailure("'yieldAgain' was not called before")

  /// A misused argument, in the words that the argument checks use.
  public static func argument(
    _ position: Int, _ name: String, of function: String, expected: String, got: String
  ) -> LuaFailure {
    LuaFailure(
      "bad argument #\(position) '\(name)' to '\(function)' (expected \(expected), got \(got))")
  }
}

/// Why a run was stopped from outside.
public enum LuaStop: Sendable {
  case interrupt, instructions, time, memory

  init?(_ reason: Int32) {
    switch Int(reason) {
    case Int(GATE_STOP_INTERRUPT): self = .interrupt
    case Int(GATE_STOP_INSTRUCTIONS): self = .instructions
    case Int(GATE_STOP_TIME): self = .time
    case Int(GATE_STOP_MEMORY): self = .memory
    default: return nil
    }
  }
}

/// A failed run.
public struct LuaError: Error, CustomStringConvertible, Sendable {
  /// What went wrong, as `chunk:line: …`.
  public let message: String
  /// The Lua functions that were active, one a line; empty for syntax errors.
  public let traceback: String
  /// The source ends where more is needed; a prompt reads another line.
  public let isIncompleteInput: Bool
  /// The interrupt or limit that ended the run.
  public let stop: LuaStop?

  public var description: String { message }
}

/// What a run came to.
public enum LuaOutcome {
  case values([LuaValue])
  case failure(LuaError)

  /// The results of a run that ended well.
  public var values: [LuaValue]? {
    if case .values(let values) = self { values } else { nil }
  }

  public var failure: LuaError? {
    if case .failure(let error) = self { error } else { nil }
  }
}
