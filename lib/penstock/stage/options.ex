defmodule Penstock.Stage.Options do
  @moduledoc false
  # The options of stages and of subscriptions. What is wrong is said in the words that users of GenStage know.

  alias Penstock.{Dispatcher, Options}
  alias Penstock.Options.Complaint
  alias Penstock.Stage.SubscriptionFilter

  # Nobody can tell a larger number from this one, so larger ones are taken for it.
  @most Penstock.Stage.Protocol.most()

  @dispatcher [
    dispatcher: [
      type: {:cast, &Dispatcher.configure/1, "a module, or a tuple of a module and its options"},
      default: Penstock.DemandDispatcher,
      doc:
        "Who gets which events: `Penstock.DemandDispatcher`, `Penstock.BroadcastDispatcher`, " <>
          "`Penstock.PartitionDispatcher` or a `Penstock.Dispatcher` of your own."
    ]
  ]

  @keep [
    buffer_keep: [
      type: {:in, [:first, :last]},
      default: :last,
      doc: "Which events stay when the buffer is full."
    ]
  ]

  @demand [
    demand: [
      type: {:in, [:accumulate, :forward]},
      default: :forward,
      doc: "`:accumulate` holds demand and events back until `demand/2` lets them go."
    ]
  ]

  @subscribe_to [
    subscribe_to: [
      type: :list,
      default: [],
      doc: "Producers, or tuples of a producer and the options of `sync_subscribe/3`."
    ]
  ]

  @cancel [
    cancel: [
      type: {:in, [:temporary, :transient, :permanent]},
      default: :permanent,
      doc:
        "What the end of the producer, or of the subscription, means to the consumer: see \"Subscriptions\"."
    ]
  ]

  @doc "What `init/1` of a stage of this type may return."
  @spec init(:producer | :producer_consumer | :consumer) :: Options.schema()
  def init(:producer), do: @dispatcher ++ buffer_size(10_000) ++ @keep ++ @demand
  def init(:producer_consumer), do: @dispatcher ++ buffer_size(:infinity) ++ @keep ++ @subscribe_to
  def init(:consumer), do: @subscribe_to

  defp buffer_size(default) do
    [
      buffer_size: [
        type: {:or, :infinity, {:count, 0, @most}},
        default: default,
        doc: "How many events may wait that nobody has asked for."
      ]
    ]
  end

  @doc "Who starts a producer of an enumerable, and from where."
  @spec from_enumerable() :: Options.schema()
  def from_enumerable do
    [
      link: [type: :boolean, default: true, doc: "Whether the producer is linked to the caller."],
      stacktrace: [
        type: {:or, nil, :list},
        default: nil,
        doc: "Where the enumerable comes from, for the log. With nil, the caller's."
      ]
    ]
  end

  @doc "How a producer of an enumerable begins and ends."
  @spec streamer() :: Options.schema()
  def streamer do
    [
      on_cancel: [
        type: {:in, [:continue, :stop]},
        default: :continue,
        doc:
          "`:stop` ends the producer, and leaves the enumerable, when its last consumer goes. Use it with `demand: " <>
            ":accumulate`, so that it does not end between two consumers that come."
      ]
    ]
  end

  @doc "Those of a producer that one of an enumerable has."
  @spec enumerated() :: Options.schema()
  def enumerated, do: @dispatcher ++ @demand

  @doc "What a stream takes."
  @spec stream() :: Options.schema()
  def stream do
    [
      demand: [
        type: {:in, [:accumulate, :forward]},
        default: :forward,
        doc: "What the producers' demand is set to once all are subscribed to."
      ],
      producers: [
        type: {:or, nil, {:check, &stages?/1, "a list of producers"}},
        default: nil,
        doc:
          "Whose demand is set; with nil, those subscribed to. Give the producers themselves, or `[]`, when you " <>
            "subscribe to a producer_consumer."
      ]
    ]
  end

  defp stages?(list), do: is_list(list) and not List.improper?(list) and Enum.all?(list, &stage?/1)

  defp stage?({name, node}) when is_atom(name) and is_atom(node), do: true
  defp stage?(stage), do: is_pid(stage) or Options.name?(stage)

  @doc "What a subscription takes itself; the rest of its options is the producer's business."
  @spec subscription() :: Options.schema()
  def subscription, do: max_demand() ++ min_demand(1000) ++ @cancel

  defp max_demand do
    [
      max_demand: [
        type: {:integer, 1, :infinity},
        default: 1000,
        doc: "How many events it waits for at most."
      ]
    ]
  end

  defp min_demand(max) do
    [
      min_demand: [
        type: {:integer, 0, max - 1},
        default: div(max, 2),
        doc: "How many are left when it asks for more: less than `:max_demand`, by default half of it."
      ]
    ]
  end

  @doc "What a subscription says to every dispatcher that is counted here."
  @spec filter() :: Options.schema()
  def filter do
    [
      filter: [
        type:
          {:or, nil, {:cast, &SubscriptionFilter.filter/1, "a function of one argument or {:match, map}"}},
        default: nil,
        doc: "Which events the consumer wants: see `Penstock.Dispatcher`. With nil, all."
      ]
    ]
  end

  @doc "What it says to a broadcast beside."
  @spec broadcast() :: Options.schema()
  def broadcast, do: selector() ++ lag()

  @doc "The older way to say which events are wanted."
  @spec selector() :: Options.schema()
  def selector do
    [
      selector: [
        type: {:or, nil, {:cast, &SubscriptionFilter.selector/1, "a function of one argument"}},
        default: nil,
        doc:
          "A function of the event; the consumer gets those events for which it returns neither `false` nor `nil`. " <>
            "What it does not get takes nothing from its demand."
      ]
    ]
  end

  @doc "What becomes of the others when a consumer waits for fewer events than they do."
  @spec lag() :: Options.schema()
  def lag do
    [
      lag: [
        type: {:cast, &lag/1, "one of :block, :cancel and {:drop_oldest, positive integer}"},
        default: :block,
        doc:
          "What becomes of the others when this consumer waits for fewer events than they do: see \"Who lags behind\"."
      ]
    ]
  end

  defp lag(lag) when lag in [:block, :cancel], do: {:ok, lag}
  defp lag({:drop_oldest, n}) when is_integer(n) and n > 0, do: {:ok, {:drop_oldest, min(n, @most)}}
  defp lag(_other), do: {:error, nil}

  @doc "What it says to a dispatcher of partitions with these names; `find` has what a name stands for."
  @spec partition([term], (name :: term -> {:ok, term} | :error)) :: Options.schema()
  def partition(names, find) do
    takes = fn -> "one of #{inspect(names)}" end

    # that there is none is the same as that nothing is said
    found = fn name ->
      case {find.(name), name} do
        {{:ok, partition}, _name} -> {:ok, partition}
        {:error, nil} -> {:error, "expected :partition to be #{takes.()}, got: none"}
        {:error, _name} -> {:error, nil}
      end
    end

    partition({:cast, found, takes})
  end

  @doc "The same for dispatchers of any partitions."
  @spec partition(Options.type()) :: Options.schema()
  def partition(type \\ {:check, fn _name -> true end, "the name of a partition"}),
    do: [partition: [type: type, required: true, doc: "Whose events the consumer gets."]]

  @doc "Those of a schema as a map, and the rest."
  @spec take(keyword, Options.schema()) :: {:ok, map, rest :: keyword} | {:error, message :: String.t()}
  def take(options, schema) do
    with {:error, wrong} <- Options.take(options, schema), do: {:error, Complaint.of_gen_stage(wrong)}
  end

  @doc "Those of a schema as a map, when there are no others."
  @spec all(term, Options.schema()) :: {:ok, map} | {:error, message :: String.t()}
  def all(options, schema) do
    if Keyword.keyword?(options) do
      with {:ok, settings, rest} <- take(options, schema), :ok <- none_left(rest), do: {:ok, settings}
    else
      {:error, Complaint.of_gen_stage(Complaint.new(:no_list, nil, options))}
    end
  end

  defp none_left([]), do: :ok
  defp none_left(options), do: {:error, "unknown options #{inspect(options)}"}

  @doc "What a subscription comes to."
  @spec subscribed(term) ::
          {:ok, cancel :: atom, min :: non_neg_integer, max :: pos_integer} | {:error, String.t()}
  def subscribed(options) do
    with :ok <- of_subscription(options),
         {:ok, %{max_demand: max}, rest} <- options |> given(subscription()) |> take(max_demand()),
         {:ok, %{min_demand: min, cancel: cancel}, []} <- take(rest, min_demand(max) ++ @cancel) do
      {:ok, cancel, min, max}
    end
  end

  @doc "Those of a schema as a map, among whatever else a subscription says to its producer."
  @spec dispatched(term, Options.schema()) :: {:ok, map} | {:error, message :: String.t()}
  def dispatched(options, schema) do
    with :ok <- of_subscription(options),
         {:ok, settings, []} <- options |> given(schema) |> take(schema),
         do: {:ok, settings}
  end

  defp given(options, schema) do
    for {key, _spec} <- schema,
        {^key, _value} = option <- [:lists.keyfind(key, 1, options)],
        do: option
  end

  @doc """
  Whether these can be options of a subscription: any list, for those of a dispatcher of somebody else's may be more than
  pairs.
  """
  @spec of_subscription(term) :: :ok | {:error, message :: String.t()}
  def of_subscription(options) do
    if is_list(options) and not List.improper?(options),
      do: :ok,
      else: {:error, "expected subscription options to be a list, got: #{inspect(options)}"}
  end

  @doc "The value of a key of subscription options."
  @spec get([term], atom, term) :: term
  def get(options, key, default \\ nil) do
    case :lists.keyfind(key, 1, options) do
      {^key, value} -> value
      _ -> default
    end
  end

  @doc "The largest number that a count comes to."
  @spec most() :: pos_integer
  def most, do: @most
end
