defmodule Penstock.Stage.Outlet do
  @moduledoc false
  # The outgoing side of a producer of terms: subscribers, dispatcher and buffer. The native core decides who
  # gets how many events and when; here the lists are cut accordingly and sent.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Shelf, Subscribers}
  alias __MODULE__

  @enforce_keys [:core, :dispatcher]
  defstruct [:core, :dispatcher, subscribers: Subscribers.new(), shelf: Shelf.new(), infos: :queue.new()]

  @type t :: %Outlet{
          core: reference,
          dispatcher: module,
          subscribers: Subscribers.t(),
          shelf: Shelf.t(),
          infos: :queue.queue(term)
        }

  @spec new(Penstock.Dispatcher.config(), non_neg_integer | :infinity, :first | :last) :: t
  def new({:demand, max_demand, shuffle?}, buffer_size, keep) do
    seed = if shuffle?, do: :rand.uniform(4_294_967_296)
    core = Native.stage_new(buffer_size, keep, max_demand, seed)
    %Outlet{core: core, dispatcher: Penstock.DemandDispatcher}
  end

  # Lets a subscription that `Subscribers.add/2` has noted take part in what is dealt.
  @spec open(t, Subscribers.id()) :: t
  def open(%Outlet{core: core} = outlet, id) do
    :ok = Native.stage_subscribe(core, id)
    outlet
  end

  @spec close(t, Subscribers.id()) :: t
  def close(%Outlet{core: core} = outlet, id) do
    _demand = Native.stage_cancel(core, id)
    outlet
  end

  # Serves demand from the buffer and says how many events are to be asked of the source; the number alone
  # when nothing has changed here.
  @spec ask(t, Subscribers.id(), pos_integer) :: non_neg_integer | {non_neg_integer, t}
  def ask(%Outlet{core: core} = outlet, id, n) do
    case Native.stage_ask(core, id, n) do
      upstream when is_integer(upstream) -> upstream
      asked -> asked(asked, outlet, id, n)
    end
  end

  defp asked(upstream, outlet, _id, _n) when is_integer(upstream), do: {upstream, outlet}

  defp asked(:buffered, outlet, _id, _n) do
    outlet = drain(outlet)
    {Native.stage_claim(outlet.core), outlet}
  end

  defp asked({:exceeded, max, asked}, outlet, id, n) do
    {pid, _tag} = Map.fetch!(outlet.subscribers.by_id, id)

    Logger.warning(
      "Penstock.Stage producer #{Subscribers.name()} expects a maximum demand of #{max}, and " <>
        "#{inspect(pid)} asked for #{n}: consumers that ask for more than others are served before them"
    )

    asked(asked, outlet, id, n)
  end

  # Deals new events; what nobody waits for is buffered. Says how many were discarded, unless all events
  # went to one subscriber and nothing has changed here.
  @spec emit(t, [term, ...]) :: :delivered | {discarded :: non_neg_integer, t}
  def emit(%Outlet{core: core} = outlet, events) do
    size = length(events)

    case Native.stage_emit(core, size) do
      id when is_integer(id) ->
        Subscribers.deliver(outlet.subscribers, id, events)
        :delivered

      :heap ->
        {0, %{outlet | shelf: Shelf.put(outlet.shelf, events, size)}}

      deals ->
        deal(deals, events, size, outlet)
    end
  end

  defp deal([], [], 0, outlet), do: {0, outlet}
  defp deal([], events, size, outlet), do: store(outlet, events, size, 0)

  defp deal([{id, size}], events, size, outlet) do
    Subscribers.deliver(outlet.subscribers, id, events)
    {0, outlet}
  end

  defp deal([{id, n} | deals], events, size, outlet) do
    {now, later} = :lists.split(n, events)
    Subscribers.deliver(outlet.subscribers, id, now)
    deal(deals, later, size - n, outlet)
  end

  defp store(outlet, [], 0, discarded), do: {discarded, outlet}

  defp store(%Outlet{core: core, shelf: shelf} = outlet, events, size, discarded) do
    case Native.stage_store(core, events, size) do
      {:heap, evicted, refused, marks} ->
        kept = if refused == 0, do: events, else: Enum.take(events, size - refused)
        {_evicted, shelf} = shelf |> Shelf.put(kept, size - refused) |> Shelf.take(evicted)
        {discarded + evicted + refused, release(%{outlet | shelf: shelf}, marks)}

      {:native, rest, stored, evicted, marks} ->
        {_evicted, shelf} = Shelf.take(shelf, evicted)
        store(release(%{outlet | shelf: shelf}, marks), rest, size - stored, discarded + evicted)
    end
  end

  # Sends a message to the process itself once all that is buffered now has been delivered.
  @spec info(t, term) :: t
  def info(%Outlet{core: core, infos: infos} = outlet, message) do
    if Native.stage_mark(core) do
      %{outlet | infos: :queue.in(message, infos)}
    else
      send(self(), message)
      outlet
    end
  end

  # How many events consumers wait for.
  @spec demand(t) :: non_neg_integer
  def demand(%Outlet{core: core}), do: Native.stage_demand(core)

  @spec buffered(t) :: non_neg_integer
  def buffered(%Outlet{core: core}), do: Native.stage_buffered(core)

  defp drain(%Outlet{core: core} = outlet) do
    case Native.stage_next(core) do
      nil ->
        outlet

      :mark ->
        drain(release(outlet, 1))

      {id, n} when is_integer(n) ->
        {events, shelf} = Shelf.take(outlet.shelf, n)
        Subscribers.deliver(outlet.subscribers, id, events)
        drain(%{outlet | shelf: shelf})

      {id, events} ->
        Subscribers.deliver(outlet.subscribers, id, events)
        drain(outlet)
    end
  end

  defp release(outlet, 0), do: outlet

  defp release(%Outlet{infos: infos} = outlet, marks) do
    {{:value, message}, infos} = :queue.out(infos)
    send(self(), message)
    release(%{outlet | infos: infos}, marks - 1)
  end
end
