defmodule Penstock.Stage.Output.Rate do
  @moduledoc false
  # The half of a dispatcher by demand whose events leave at a limited rate. The native core counts them; the clock
  # is here.

  use Penstock.Stage.Output.Dispatching

  alias Penstock.Native
  alias Penstock.Stage.Output
  alias __MODULE__

  @enforce_keys [:interval]
  defstruct [:interval, :until]

  @type t :: %Rate{interval: pos_integer, until: nil | integer}

  @impl true
  def new({:demand, max_demand, shuffle?, {events, interval}}, _type),
    do: {Output.Demand.core(max_demand, shuffle?, events), %Rate{interval: interval}}

  @impl true
  def flow(output), do: output |> refill() |> Counted.drain() |> count() |> Counted.claim()

  @impl true
  def emit(output, events) do
    case Counted.emit(output, events, length(events)) do
      :delivered -> {0, count(output)}
      {discarded, output} -> {discarded, count(output)}
    end
  end

  # Begins an interval, at whose end the stage calls `Output.flow/1`, if events have left and none has begun.
  defp count(%Output{core: core, state: %Rate{until: nil, interval: interval} = rate} = output) do
    if Native.stage_counting(core) do
      Process.send_after(self(), :"$penstock_flow", interval)
      %{output | state: %{rate | until: now() + interval}}
    else
      output
    end
  end

  defp count(output), do: output

  # Ends the interval, if its time has come.
  defp refill(%Output{core: core, state: %Rate{until: until} = rate} = output) do
    if until != nil and now() >= until do
      :ok = Native.stage_refill(core)
      %{output | state: %{rate | until: nil}}
    else
      output
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
