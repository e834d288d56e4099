/// A machine at a fixed place, that a search and those whom it asks can both look at in turn.
open class MachineCell {
  public final var machine: Machine

  public init(_ machine: consuming Machine) { self.machine = machine }
}
