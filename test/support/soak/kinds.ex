defmodule Penstock.Soak.Kinds do
  @moduledoc false
  # The kinds of schedules. Each module's `run(seed, folder)` gives `{trials, text}`, or raises a `Penstock.Soak.Fault`.

  alias Penstock.Soak

  @kinds [
    answers: {Soak.Answers, "schedules"},
    network: {Soak.Network, "schedules"},
    kills: {Soak.Kills, "kills"},
    damage: {Soak.Damage, "damaged folders"},
    sealed: {Soak.Damage.Sealed, "damaged folders"}
  ]

  @doc "Those that are run when none is named: each of them takes seconds."
  def default, do: names() -- ["sealed"]

  def names, do: @kinds |> Keyword.keys() |> Enum.map(&Atom.to_string/1)
  def module(name), do: elem(fetch(name), 0)

  @doc "What is counted as a trial."
  def trials(name), do: elem(fetch(name), 1)

  defp fetch(name), do: Keyword.fetch!(@kinds, String.to_existing_atom(name))
end
