defmodule Penstock.Stage.Output.Demand do
  @moduledoc false
  # The half of a dispatcher that gives each event to the consumer that waits for most: the core does it all.

  use Penstock.Stage.Output.Dispatching

  @impl true
  def new({:demand, max_demand, shuffle?}, _type), do: {core(max_demand, shuffle?, nil), nil}

  @doc "The core's dispatcher by demand; `rate` is how many events may leave in an interval."
  @spec core(pos_integer | nil, boolean, pos_integer | nil) :: term
  def core(max_demand, shuffle?, rate) do
    seed = if shuffle?, do: :rand.uniform(4_294_967_296)
    {:demand, max_demand, seed, rate}
  end
end
