defmodule Penstock.EventStore.Server do
  @options [
    name: [
      type: {:or, nil, :name},
      default: nil,
      doc: "A name of the process, of any kind that `GenServer` takes."
    ],
    port: [type: {:integer, 0, 65_535}, default: 2113, doc: "The port to listen on, 0 for a free one."],
    data_dir: [
      type: {:or, :memory, {:check, &__MODULE__.path?/1, "a path"}},
      default: :memory,
      doc:
        "The directory to keep events in, which is made if there is none, or `:memory` to forget them when the server ends."
    ],
    fsync: [
      type: {:in, [:group, :never]},
      default: :group,
      doc:
        "When an append is acknowledged, where there is a `:data_dir`: `:group` when the disk has it, those that wait " <>
          "being synced together; `:never` when the operating system has it."
    ],
    advertise: [
      type: {:or, nil, {:check, &__MODULE__.text?/1, ~s("HOST" or "HOST:PORT")}},
      default: nil,
      doc:
        "Where clients are told to find the server: a name or an IP address (IPv6 in brackets). With nil, where it " <>
          "listens. Clients that discover the nodes of a cluster use it, and so does whatever reads `/gossip`; for a " <>
          "server behind a forwarded port or a proxy."
    ],
    tls: [
      type: {:or, nil, {:cast, &__MODULE__.cast_tls/1, ":self_made or [certificate: path, key: path]"}},
      default: nil,
      doc:
        "With what the server encrypts: two files in PEM, the certificates with the server's own first, and its key; or " <>
          "`:self_made`, a certificate that is made when it starts, for localhost, 127.0.0.1, ::1 and the advertised " <>
          "host, and that clients trust who are given `ca_file/1`. With nil, nothing is encrypted."
    ],
    users: [
      type: :boolean,
      default: false,
      doc:
        "Whether only users may call, and streams have their access control (`$acl`). At first there are `admin` and " <>
          "`ops`, each with the password `changeit`. Without `:tls`, passwords can be read on the way."
    ],
    system_projections: [
      type: :boolean,
      default: false,
      doc:
        "Whether the server keeps the streams `$ce-CATEGORY`, `$et-TYPE` (of events in JSON), `$streams` and " <>
          "`$category-CATEGORY`: links to what is appended, made after it in a moment."
    ],
    nodes: [
      type: {:integer, 1, 9},
      default: 1,
      doc:
        "How many nodes it is, each on a port of its own from `:port` on; with more than one they are a cluster, which is " <>
          "for tests of clients: see `start_cluster/2`."
    ]
  ]

  @moduledoc """
  An EventStoreDB-compatible server inside the VM, as a child of a supervisor.

      children = [
        {Penstock.EventStore.Server, name: MyApp.EventStore, port: 0, data_dir: "priv/events"}
      ]

      Penstock.EventStore.Server.connection_string(MyApp.EventStore)
      #=> "esdb://127.0.0.1:38423?tls=false"

  It speaks the gRPC API of EventStoreDB over HTTP/2 on 127.0.0.1, so any client of EventStoreDB or KurrentDB can use
  it. It runs in the Rust core, on threads of its own: the process only owns it, and the server ends when the process
  does. Neither a busy server nor a slow disk holds up who reads in the same VM, from this server or another.

  ## Options

  #{Penstock.Options.docs(@options)}

  Starting fails with a `Penstock.Error` whose reason is `:invalid_argument`, `:address_in_use`, `:data_dir_in_use`,
  `:data_dir_unusable` or `:corrupted_data`. Should the server end by itself, the process ends with a `Penstock.Error`
  that says why; the port and the directory are free by then, so a supervisor can start the next one.

  What was acknowledged survives the end of the VM, however sudden, and with `fsync: :group` that of the machine, too.
  The guide "The data folder" says what is promised, and what can be done when a folder is refused.

  ## Limits

  Some things a real EventStoreDB lets a client do until it falls over are bounded here:

    * a batch (`BatchAppend`) that is not whole 2 seconds after its first chunk times out, as in the real server
    * appends that are not whole yet take at most 128 MiB for one connection and 256 MiB for all; what comes beyond that
      is refused with `RESOURCE_EXHAUSTED`
    * a regular expression of a filter may go back 200,000 times on one name or type; one that needs more ends its call
      with `INVALID_ARGUMENT` and is named in the text
    * an error's headers are shortened to 8 KiB, which every client takes: first the middle of the text, then whole
      fields. Status and `exception` are always there
    * a call whose `grpc-timeout` is over is given up with `DEADLINE_EXCEEDED`; an append that was not decided by then is
      not written, and one that was may be written all the same
    * a client that answers no HTTP/2 ping for 10 seconds, or that has not said what it speaks after 30, is let go
  """

  use GenServer

  alias Penstock.{Error, Native, Options}
  alias Penstock.EventStore.Settings
  alias Penstock.Options.Complaint

  @type option ::
          {:port, :inet.port_number()}
          | {:data_dir, Path.t() | :memory}
          | {:fsync, :group | :never}
          | {:advertise, String.t()}
          | {:tls, :self_made | [certificate: Path.t(), key: Path.t()] | nil}
          | {:users, boolean}
          | {:system_projections, boolean}
          | {:nodes, 1..9}
          | {:name, GenServer.name()}

  @typedoc """
  What becomes of a server on demand. Those of the first group last until `heal/1` or `reset/1`.

    * `:stall` - reads and subscriptions send nothing more; HTTP/2's pings are answered
    * `{:slow, ms}` - they wait so long before whatever they send at a time
    * `{:truncate, bytes}` - they send so many bytes more and end as if well, be it in the middle of a message
    * `{:not_leader, host, port}` - calls to streams are answered that the leader is there
    * `:refuse_appends` - nothing is written: the server is not ready
    * `:disk_full` - nothing is written: there is no space

  These happen once:

    * `:cut` - every connection is cut in the middle of whatever is on it
    * `:drop_subscriptions` - every subscription ends with UNAVAILABLE
    * `:fell_behind` - every subscription sends that it fell behind
  """
  @type fault ::
          :stall
          | {:slow, non_neg_integer}
          | {:truncate, non_neg_integer}
          | {:not_leader, String.t(), :inet.port_number()}
          | :refuse_appends
          | :disk_full
          | :cut
          | :drop_subscriptions
          | :fell_behind

  @typedoc "A node of a cluster, by its place in `nodes/1`, from 0 on."
  @type cluster_node :: non_neg_integer

  # The core retries for two seconds at most; beyond that something is wrong with it.
  @start_timeout 30_000
  @stop_timeout 5_000

  @doc "Starts a server; it answers once this returns."
  @spec start_link([option]) :: {:ok, pid} | {:error, Error.t() | term}
  def start_link(options \\ []) do
    with {:ok, settings} <- validate(options) do
      GenServer.start_link(__MODULE__, settings, Keyword.take(options, [:name]))
    end
  end

  @doc """
  Starts a cluster of so many nodes, in this VM and in memory: for tests of clients. Takes the same options; the ports are
  free ones by default.

  One node leads, at first the first one. Whatever is written goes to all nodes that are there before it is acknowledged,
  so another one has it when the leader is killed (`kill/2`), resigns (`resign/1`) or stands still (`freeze/2`). Nothing
  goes over a network for that: it is no replication for production.
  """
  @spec start_cluster(2..9, [option]) :: {:ok, pid} | {:error, Error.t() | term}
  def start_cluster(size, options \\ []),
    do:
      if(Keyword.keyword?(options),
        do: start_link([nodes: size] ++ Keyword.put_new(options, :port, 0)),
        else: start_link(options)
      )

  @doc "A specification to start it under a supervisor; its id is its name, if it has one."
  @spec child_spec([option]) :: Supervisor.child_spec()
  def child_spec(options),
    do: %{id: Settings.id(options, __MODULE__), start: {__MODULE__, :start_link, [options]}, type: :worker}

  @doc "The port that the server listens on."
  @spec port(GenServer.server()) :: :inet.port_number()
  def port(server), do: hd(GenServer.call(server, :address).ports)

  @doc """
  The file with the certificate that clients are to trust (their `tlsCaFile`), if it was made for this server: with
  `tls: :self_made`, and nil otherwise. The file is gone with the server.
  """
  @spec ca_file(GenServer.server()) :: Path.t() | nil
  def ca_file(server), do: GenServer.call(server, :address).ca_file

  @doc """
  The connection string of the server. With a certificate made for it, it names `ca_file/1`; with `:users`, it is that of
  `admin` with the first password; of a cluster, it has all nodes.
  """
  @spec connection_string(GenServer.server()) :: String.t()
  def connection_string(server) do
    address = GenServer.call(server, :address)
    who = if address.users, do: "admin:changeit@", else: ""
    nodes = Enum.map_join(address.ports, ",", &"127.0.0.1:#{&1}")
    "esdb://#{who}#{nodes}?" <> encryption(address)
  end

  defp encryption(%{tls: false}), do: "tls=false"
  defp encryption(%{ca_file: nil}), do: "tls=true"
  defp encryption(%{ca_file: file}), do: "tls=true&tlsCaFile=#{URI.encode(file, &plain?/1)}"

  defp plain?(character), do: character == ?/ or URI.char_unreserved?(character)

  @doc "Ends the server: open subscriptions are told, and the port and the data directory are free afterwards."
  @spec stop(GenServer.server(), term, timeout) :: :ok
  def stop(server, reason \\ :normal, timeout \\ :infinity), do: GenServer.stop(server, reason, timeout)

  @doc """
  Has the server begin as at its first start, on the same port: for tests, between one case and the next.

  All events and streams are gone, also those that a `:data_dir` keeps, and every connection is cut. What connects
  meanwhile waits. Returns when that is done; a folder that cannot be changed ends the server.
  """
  @spec reset(GenServer.server(), timeout) :: :ok | {:error, Error.t()}
  def reset(server, timeout \\ 30_000), do: GenServer.call(server, :reset, timeout)

  @doc "Has the server misbehave: see `t:fault/0`. Of a cluster, only one node does."
  @spec fault(GenServer.server(), fault, cluster_node) :: :ok | {:error, Error.t()}
  def fault(server, fault, node \\ 0) do
    if fault?(fault),
      do: GenServer.call(server, {:fault, node, fault}),
      else:
        raise(ArgumentError, "#{inspect(fault)} is no fault: see the type Penstock.EventStore.Server.fault/0")
  end

  defp fault?(fault)
       when fault in [
              :stall,
              :refuse_appends,
              :disk_full,
              :cut,
              :drop_subscriptions,
              :fell_behind
            ],
       do: true

  defp fault?({kind, number}) when kind in [:slow, :truncate],
    do: is_integer(number) and number in 0..0xFFFF_FFFF

  defp fault?({:not_leader, host, port}), do: text?(host) and is_integer(port) and port in 1..65_535
  defp fault?(_other), do: false

  @doc "Ends what `fault/3` began."
  @spec heal(GenServer.server(), cluster_node) :: :ok | {:error, Error.t()}
  def heal(server, node \\ 0), do: GenServer.call(server, {:fault, node, :heal})

  @doc "Ends a node of a cluster in the middle of whatever it does."
  @spec kill(GenServer.server(), cluster_node) :: :ok | {:error, Error.t()}
  def kill(server, node), do: GenServer.call(server, {:fault, node, :kill})

  @doc """
  Has the server, or a node of a cluster, stand still: its connections stay open and say nothing, not even to HTTP/2's
  pings. Other nodes notice after a second.
  """
  @spec freeze(GenServer.server(), cluster_node) :: :ok | {:error, Error.t()}
  def freeze(server, node \\ 0), do: GenServer.call(server, {:fault, node, :freeze})

  @doc "Has what stands still go on; a node of a cluster with what was written meanwhile."
  @spec thaw(GenServer.server(), cluster_node) :: :ok | {:error, Error.t()}
  def thaw(server, node \\ 0), do: GenServer.call(server, {:fault, node, :thaw})

  @doc "Has the leader of a cluster give up the lead. It goes on to serve."
  @spec resign(GenServer.server()) :: :ok | {:error, Error.t()}
  def resign(server) do
    case Enum.find_index(nodes(server), &(&1.state == "leader")) do
      nil -> :ok
      node -> GenServer.call(server, {:fault, node, :resign})
    end
  end

  @doc """
  The nodes of the server, one if it is no cluster: their ports, and what they are, as `/info` says it: `"leader"`,
  `"follower"`, `"unknown"` if it is gone, and what comes between.
  """
  @spec nodes(GenServer.server()) :: [%{port: :inet.port_number(), state: String.t()}]
  def nodes(server), do: GenServer.call(server, :nodes)

  @impl GenServer
  def init(settings) do
    # so that terminate/2 gives back the port before a supervisor starts the next one
    Process.flag(:trap_exit, true)
    tag = make_ref()

    with {:ok, resource} <- Native.server_start(settings, tag),
         {:ok, {ports, ca_file}} <- await_start(tag) do
      address = %{ports: ports, ca_file: ca_file, tls: settings.tls != nil, users: settings.users}
      {:ok, %{resource: resource, tag: tag, address: address, asked: %{}}}
    else
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:address, _from, state), do: {:reply, state.address, state}

  def handle_call(:nodes, _from, state) do
    states = Native.server_states(state.resource)
    nodes = for {port, state} <- Enum.zip(state.address.ports, states), do: %{port: port, state: state}
    {:reply, nodes, state}
  end

  def handle_call({:fault, node, fault}, from, state) do
    if is_integer(node) and node in 0..(length(state.address.ports) - 1) do
      tag = make_ref()
      :ok = Native.server_fault(state.resource, node, fault, tag)
      {:noreply, %{state | asked: Map.put(state.asked, tag, from)}}
    else
      message = "there is no node #{inspect(node)}: there are #{length(state.address.ports)}, from 0 on"
      {:reply, {:error, %Error{reason: :invalid_argument, message: message, details: %{node: node}}}, state}
    end
  end

  def handle_call(:reset, from, state) do
    tag = make_ref()
    :ok = Native.server_reset(state.resource, tag)
    {:noreply, %{state | asked: Map.put(state.asked, tag, from)}}
  end

  @impl GenServer
  def handle_info({:penstock_server, tag, {:failed, error}}, %{tag: tag} = state) do
    error = Error.from_native(error)
    # It may be a reset that it has failed at; that is told here as well, whichever comes first.
    for {_tag, from} <- state.asked, do: GenServer.reply(from, {:error, error})
    {:stop, error, state}
  end

  def handle_info({:penstock_server, tag, :stopped}, %{tag: tag} = state), do: {:stop, :server_ended, state}

  def handle_info({:penstock_server, tag, outcome}, %{asked: asked} = state) when is_map_key(asked, tag) do
    {from, asked} = Map.pop!(asked, tag)
    GenServer.reply(from, with({:error, error} <- outcome, do: {:error, Error.from_native(error)}))
    {:noreply, %{state | asked: asked}}
  end

  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(:server_ended, _state), do: :ok

  def terminate(_reason, %{resource: resource, tag: tag}) do
    Native.server_stop(resource)

    receive do
      {:penstock_server, ^tag, :stopped} -> :ok
    after
      @stop_timeout -> :ok
    end
  end

  defp await_start(tag) do
    receive do
      {:penstock_server, ^tag, result} -> result
    after
      @start_timeout ->
        {:error, {:internal, "the embedded server did not start within #{@start_timeout} ms", false, %{}}}
    end
  end

  defp validate(options) do
    case Options.validate(options, @options) do
      {:ok, settings} ->
        {:ok, %{settings | data_dir: folder(settings.data_dir)}}

      {:error, wrong} ->
        message = Complaint.of_error(wrong)
        {:error, %Error{reason: :invalid_argument, message: message, details: %{option: wrong.option}}}
    end
  end

  defp folder(:memory), do: nil
  defp folder(path), do: Path.expand(path)

  @doc false
  def cast_tls(:self_made), do: {:ok, :self_made}

  def cast_tls(files) do
    with true <- Keyword.keyword?(files),
         [certificate: certificate, key: key] <- Enum.sort(files),
         true <- path?(certificate) and path?(key) do
      {:ok, {Path.expand(certificate), Path.expand(key)}}
    else
      _ ->
        {:error, "option :tls must be :self_made or [certificate: path, key: path], got: #{inspect(files)}"}
    end
  end

  @doc false
  def path?(path), do: path != "" and text?(path)

  @doc false
  # What a host and a port are is for the core to say.
  def text?(value), do: is_binary(value) and String.valid?(value)
end
