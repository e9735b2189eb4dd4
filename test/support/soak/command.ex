defmodule Penstock.Soak.Command do
  @moduledoc false
  # test/soak, once everything is built.

  alias Penstock.Soak.{Kinds, Runner}

  @switches [seconds: :integer, seed: :integer, trials: :integer]
  @seconds 60
  @forever 0xFFFF_FFFF

  def main(arguments) do
    # What goes wrong on the way is the schedules' purpose; the laws say what was wrong.
    Logger.configure(level: :none)
    {kinds, options} = parse(arguments)
    seed = options[:seed] || :rand.uniform(1_000_000_000)
    faults = Enum.flat_map(kinds, &Runner.run(&1, seed, limits(options, length(kinds))))
    for {kind, seed} <- faults, do: IO.puts("found: test/soak #{kind} --seed #{seed}")
    System.halt(if(faults == [], do: 0, else: 1))
  end

  # A seed alone is one schedule; so many trials take what they take.
  defp limits(options, kinds) do
    trials = options[:trials] || if(options[:seed] && !options[:seconds], do: 1, else: @forever)
    seconds = options[:seconds] || if(trials == @forever, do: @seconds, else: @forever)
    %{trials: trials, seconds: seconds / kinds}
  end

  defp parse(arguments) do
    {options, kinds, wrong} = OptionParser.parse(arguments, strict: @switches)
    for {name, value} <- wrong, do: refuse("#{name} #{value}: there is no such option, or it takes a number")
    for {name, value} <- options, value < 1, do: refuse("--#{name} takes a number from 1 on, not #{value}")

    for kind <- kinds,
        kind not in Kinds.names(),
        do: refuse("there is no #{kind}; there are: #{Enum.join(Kinds.names(), " ")}")

    {if(kinds == [], do: Kinds.default(), else: kinds), options}
  end

  defp refuse(text) do
    IO.puts(:stderr, "test/soak: #{text}")
    System.halt(2)
  end
end
