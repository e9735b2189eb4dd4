defmodule Penstock.Stage.Outlet.Custom do
  @moduledoc false
  # The route of a producer with a dispatcher of somebody else: the module is called as GenStage would call it,
  # and decides; what it leaves over goes to the native buffer.

  alias Penstock.Native
  alias Penstock.Stage.{Options, Outlet, Shelf, Subscribers}
  alias __MODULE__

  @enforce_keys [:module, :state, :type]
  defstruct [:module, :state, :type, demand: 0]

  @type t :: %Custom{
          module: module,
          state: term,
          type: :producer | :producer_consumer,
          demand: non_neg_integer
        }

  @spec new(module, term, :producer | :producer_consumer) :: t
  def new(module, state, type), do: %Custom{module: module, state: state, type: type}

  @spec open(Outlet.t(), Subscribers.from(), keyword) :: {:ok, Outlet.t()} | {:error, term, Outlet.t()}
  def open(%Outlet{route: %Custom{module: module, state: state}} = outlet, from, options) do
    case module.subscribe(options, from, state) do
      {:ok, _demand, _state} = granted -> {:ok, grant(outlet, granted, :subscribe, 3)}
      {:error, reason} -> {:error, reason, outlet}
      other -> wrong(:subscribe, 3, module, "{:ok, demand, state} or {:error, reason}", other)
    end
  end

  @spec close(Outlet.t(), Subscribers.from()) :: Outlet.t()
  def close(%Outlet{route: %Custom{module: module, state: state}} = outlet, from),
    do: grant(outlet, module.cancel(from, state), :cancel, 2)

  @spec ask(Outlet.t(), Subscribers.from(), pos_integer) :: Outlet.t()
  def ask(%Outlet{route: %Custom{module: module, state: state}} = outlet, from, n),
    do: grant(outlet, module.ask(n, from, state), :ask, 3)

  defp grant(%Outlet{route: route} = outlet, {:ok, demand, state}, _function, _arity)
       when is_integer(demand) and demand >= 0 do
    %{outlet | route: %{route | state: state, demand: min(route.demand + demand, Options.most())}}
  end

  defp grant(%Outlet{route: %Custom{module: module}}, other, function, arity),
    do: wrong(function, arity, module, "{:ok, demand, state}, demand being an integer from 0 on", other)

  @spec wrong(atom, arity, module, String.t(), term) :: no_return
  defp wrong(function, arity, module, expected, got) do
    raise ArgumentError,
          "expected #{function}/#{arity} of #{inspect(module)} to return #{expected}, got: #{inspect(got)}"
  end

  # Serves from the buffer what the dispatcher has called for; the source is asked for the rest. In a
  # producer_consumer, whose source is asked elsewhere, that stays on record.
  @spec flow(Outlet.t()) :: {non_neg_integer, Outlet.t()}
  def flow(%Outlet{route: %Custom{demand: demand}} = outlet) do
    {upstream, %Outlet{route: route} = outlet} = take(%{outlet | flowing?: false}, demand)

    if route.type == :producer,
      do: {upstream, %{outlet | route: %{route | demand: 0}}},
      else: {upstream, outlet}
  end

  # A message whose turn has come goes out with the event before it, so also when no demand is left.
  defp take(%Outlet{core: core} = outlet, left) do
    case Native.stage_take(core, left) do
      nil ->
        {left, outlet}

      :mark ->
        outlet |> Outlet.release(1) |> take(left)

      n when is_integer(n) ->
        {events, shelf} = Shelf.take(outlet.shelf, n)
        again(%{outlet | shelf: shelf}, events, n, left)

      events ->
        again(outlet, events, length(events), left)
    end
  end

  defp again(outlet, events, n, left) do
    {over, outlet} = dispatch(outlet, events, n)
    {_discarded, outlet} = Outlet.Store.put(outlet, over, length(over))
    take(outlet, left - n)
  end

  # Has the dispatcher send events; those that it does not want.
  @spec dispatch(Outlet.t(), [term, ...], pos_integer) :: {left :: [term], Outlet.t()}
  def dispatch(%Outlet{route: %Custom{module: module, state: state} = route} = outlet, events, n) do
    {:ok, left, state} = module.dispatch(events, n, state)
    demand = if route.type == :producer, do: route.demand, else: max(route.demand - (n - length(left)), 0)
    {left, %{outlet | route: %{route | state: state, demand: demand}}}
  end

  @spec info(Outlet.t(), term) :: Outlet.t()
  def info(%Outlet{route: %Custom{module: module, state: state} = route} = outlet, message) do
    {:ok, state} = module.info(message, state)
    %{outlet | route: %{route | state: state}}
  end
end
