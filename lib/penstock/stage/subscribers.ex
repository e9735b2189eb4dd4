defmodule Penstock.Stage.Subscribers do
  @moduledoc false
  # Who has subscribed to a producer: the bookkeeping of the producer's side of the wire, for any process
  # that plays a producer.
  #
  # A subscription is known by its tag, which the consumer chose (any term); by a number, which is what the
  # native core knows it by; and by the monitor of the consumer. Messages that go straight back to a consumer
  # (a second subscription under one tag, a tag that nobody subscribed, a confirmed cancellation) are sent
  # from here. Events are not: they are sent where they are dealt.

  require Logger

  alias __MODULE__

  defstruct by_tag: %{}, by_id: %{}, by_monitor: %{}, next_id: 0

  @type tag :: term
  @type from :: {pid, tag}
  @type id :: non_neg_integer
  @type t :: %Subscribers{
          by_tag: %{tag => {id, pid, monitor :: reference}},
          by_id: %{id => from},
          by_monitor: %{reference => tag},
          next_id: id
        }

  @spec new() :: t
  def new, do: %Subscribers{}

  # Notes a subscription and monitors its consumer. A tag that is taken is answered to the consumer.
  @spec add(t, from) :: {:ok, id, t} | :duplicate
  def add(%Subscribers{by_tag: by_tag}, {pid, tag} = from) when is_map_key(by_tag, tag) do
    Logger.error("Penstock producer #{name()} received duplicated subscription from: #{inspect(from)}")
    answer(pid, tag, {:cancel, :duplicated_subscription})
    :duplicate
  end

  def add(%Subscribers{next_id: id} = subscribers, {pid, tag} = from) do
    monitor = Process.monitor(pid)

    {:ok, id,
     %{
       subscribers
       | by_tag: Map.put(subscribers.by_tag, tag, {id, pid, monitor}),
         by_id: Map.put(subscribers.by_id, id, from),
         by_monitor: Map.put(subscribers.by_monitor, monitor, tag),
         next_id: id + 1
     }}
  end

  # The number of the subscription that a message comes from. A tag that is unknown is answered.
  @spec fetch(t, from) :: {:ok, id} | :unknown
  def fetch(%Subscribers{by_tag: by_tag}, {pid, tag}) do
    case by_tag do
      %{^tag => {id, _pid, _monitor}} ->
        {:ok, id}

      %{} ->
        answer(pid, tag, {:cancel, :unknown_subscription})
        :unknown
    end
  end

  # Forgets a subscription and confirms that to its consumer.
  @spec remove(t, tag, reason :: term) :: {:ok, id, from, t} | :unknown
  def remove(%Subscribers{} = subscribers, tag, reason) do
    case Map.pop(subscribers.by_tag, tag) do
      {nil, _by_tag} ->
        :unknown

      {{id, pid, monitor}, by_tag} ->
        Process.demonitor(monitor, [:flush])
        answer(pid, tag, {:cancel, reason})

        {:ok, id, {pid, tag},
         %{
           subscribers
           | by_tag: by_tag,
             by_id: Map.delete(subscribers.by_id, id),
             by_monitor: Map.delete(subscribers.by_monitor, monitor)
         }}
    end
  end

  # The tag of the subscription whose consumer a monitor watches.
  @spec monitored(t, reference) :: {:ok, tag} | :error
  def monitored(%Subscribers{by_monitor: by_monitor}, monitor), do: Map.fetch(by_monitor, monitor)

  # Sends events to a subscription.
  @spec deliver(t, id, [term, ...]) :: :ok
  def deliver(%Subscribers{by_id: by_id}, id, events) do
    %{^id => {pid, tag}} = by_id
    answer(pid, tag, events)
  end

  @spec send_events(from, [term, ...]) :: :ok
  def send_events({pid, tag}, events), do: answer(pid, tag, events)

  @spec tags(t) :: [tag]
  def tags(%Subscribers{by_tag: by_tag}), do: Map.keys(by_tag)

  @spec pids(t) :: [pid]
  def pids(%Subscribers{by_id: by_id}), do: for({_id, {pid, _tag}} <- by_id, do: pid)

  # What logs call the process: its registered name, or its pid.
  @spec name() :: String.t()
  def name do
    case Process.info(self(), :registered_name) do
      {:registered_name, name} when is_atom(name) -> inspect(name)
      _ -> inspect(self())
    end
  end

  @compile {:inline, answer: 3}

  # A plain send is the cheaper one, but only a local receiver never makes it wait for a connection.
  defp answer(pid, tag, content) when node(pid) == node() do
    send(pid, {:"$gen_consumer", {self(), tag}, content})
    :ok
  end

  defp answer(pid, tag, content) do
    Process.send(pid, {:"$gen_consumer", {self(), tag}, content}, [:noconnect])
    :ok
  end
end
