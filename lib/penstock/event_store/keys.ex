defmodule Penstock.EventStore.Keys do
  @moduledoc false
  # How to connect: one table, from which come the options, their documentation, and the connection string that the core
  # reads.

  alias Penstock.Options
  alias Penstock.Options.Complaint

  @longest 2_147_483_647
  @ping {:or, :infinity, {:integer, 100, @longest}}

  # The option, what a connection string and the official clients call it, what Spear calls it, and the default.
  @keys [
    tls: [
      key: "tls",
      spear: ":tls? (false)",
      type: :boolean,
      default: true,
      doc: "Whether connections are encrypted, by TLS 1.2 or 1.3."
    ],
    tls_verify_cert: [
      key: "tlsVerifyCert",
      spear: ":mint_opts",
      type: :boolean,
      default: true,
      doc: "Whether the server's certificate has to be for its name, and from an authority that is trusted."
    ],
    tls_ca_file: [
      key: "tlsCaFile",
      spear: ":mint_opts",
      type: :non_empty_string,
      default: nil,
      doc: "A PEM file of the authorities to trust, in place of the system's."
    ],
    user_cert_file: [
      key: "userCertFile",
      spear: ":mint_opts",
      type: :non_empty_string,
      default: nil,
      doc: "A PEM file of the client's own certificate, for servers that ask for one."
    ],
    user_key_file: [
      key: "userKeyFile",
      spear: ":mint_opts",
      type: :non_empty_string,
      default: nil,
      doc: "A PEM file of that certificate's key."
    ],
    node_preference: [
      key: "nodePreference",
      type: {:in, [:leader, :follower, :random, :read_only_replica]},
      default: :leader,
      doc:
        "Which node of a cluster is used: the leader and no other, a follower if there is one, any, or a read-only replica " <>
          "if there is one."
    ],
    max_discover_attempts: [
      key: "maxDiscoverAttempts",
      type: {:integer, 1, 4_294_967_295},
      default: 10,
      doc: "How often the nodes of a cluster are asked for one to use, before a call fails."
    ],
    discovery_interval: [
      key: "discoveryInterval",
      type: {:integer, 1, @longest},
      default: 100,
      unit: "ms",
      doc: "How long to wait between two attempts."
    ],
    gossip_timeout: [
      key: "gossipTimeout",
      type: {:integer, 1, 86_400},
      default: 5,
      unit: "s",
      doc: "How long a node may take to tell of its cluster."
    ],
    keep_alive_interval: [
      key: "keepAliveInterval",
      spear: ":keep_alive_interval",
      type: @ping,
      default: 10_000,
      unit: "ms",
      doc: "How often the server is asked for a sign of life."
    ],
    keep_alive_timeout: [
      key: "keepAliveTimeout",
      spear: ":keep_alive_timeout",
      type: @ping,
      default: 10_000,
      unit: "ms",
      doc: "How long that sign may take."
    ],
    default_deadline: [
      key: "defaultDeadline",
      type: {:or, :infinity, {:integer, 1, @longest}},
      default: 10_000,
      unit: "ms",
      doc: "How long a call may take."
    ],
    connection_name: [
      key: "connectionName",
      type: :non_empty_string,
      default: nil,
      doc: "What the server calls this connection."
    ]
  ]

  @hosts "a list of hosts, each \"host\", \"host:port\" or {host, port}"
  @credentials "{user, password} or {:bearer, token}, of strings"

  @doc "Who calls: the type of an option."
  @spec credentials() :: Options.type()
  def credentials, do: {:or, nil, {:secret, &__MODULE__.credentials?/1, @credentials}}

  @doc "The options that say how to connect."
  @spec schema() :: Options.schema()
  def schema do
    [
      hosts: [
        type: {:or, nil, {:check, &__MODULE__.hosts?/1, @hosts}},
        default: nil,
        doc: "Where the server is, in place of a connection string; several are the nodes of a cluster."
      ],
      discover: [
        type: :boolean,
        default: false,
        doc: "Whether the hosts are where the nodes of a cluster are asked for, as `+discover` says."
      ],
      credentials: [
        type: credentials(),
        default: nil,
        doc: "Who connects; of a connection string with a user this has precedence."
      ]
    ] ++ Enum.map(@keys, fn {option, row} -> {option, optional(row)} end)
  end

  # Told from the default, which the core knows: what is not given is not written.
  defp optional(row), do: [type: {:or, nil, row[:type]}, default: nil, doc: row[:doc]]

  @doc "The table of keys, for a moduledoc."
  @spec docs() :: String.t()
  def docs do
    rows =
      for {option, row} <- @keys do
        unit = if row[:unit], do: " #{row[:unit]}", else: ""
        default = if row[:default] == nil, do: "none", else: "`#{inspect(row[:default])}`#{unit}"
        spear = if row[:spear], do: "`#{row[:spear]}`", else: ""

        "| `#{inspect(option)}` | `#{row[:key]}` | #{Complaint.takes(row[:type])}#{unit} | #{default} | #{spear} | #{row[:doc]} |"
      end

    Enum.join(
      [
        "| option | key | takes | default | Spear | what it is |",
        "|---|---|---|---|---|---|" | rows
      ],
      "\n"
    )
  end

  @doc "The connection string of these settings, and the credentials that it does not hold; raises for what is no whole."
  @spec how!(map, String.t()) :: {String.t(), nil | tuple}
  def how!(%{connection_string: nil, hosts: nil}, owner) do
    raise ArgumentError,
          "#{owner}: option :connection_string is required where there are no :hosts; it takes a string that is not empty"
  end

  def how!(%{connection_string: nil} = settings, _owner),
    do: {connection_string(settings), settings.credentials}

  def how!(settings, owner) do
    for {option, _row} <- [hosts: nil] ++ @keys, settings[option] != nil, do: beside!(option, owner)
    if settings.discover, do: beside!(:discover, owner)
    {settings.connection_string, settings.credentials}
  end

  defp beside!(option, owner) do
    raise ArgumentError,
          "#{owner}: option #{inspect(option)} cannot be beside :connection_string; it is a part of that, or of :hosts"
  end

  defp connection_string(settings) do
    scheme = if settings.discover, do: "esdb+discover://", else: "esdb://"

    keys =
      for {option, row} <- @keys, settings[option] != nil, do: "#{row[:key]}=#{written(settings[option])}"

    scheme <> Enum.map_join(settings.hosts, ",", &host/1) <> "?" <> Enum.join(keys, "&")
  end

  defp host({host, port}), do: "#{if String.contains?(host, ":"), do: "[#{host}]", else: host}:#{port}"
  defp host(host), do: host

  defp written(:infinity), do: "-1"
  defp written(:read_only_replica), do: "readOnlyReplica"
  defp written(value), do: value |> to_string() |> URI.encode(&URI.char_unreserved?/1)

  @doc false
  def hosts?([_ | _] = hosts), do: not List.improper?(hosts) and Enum.all?(hosts, &host?/1)
  def hosts?(_other), do: false

  # What a host is, is for the core to say; only nothing else of a connection string may hide in it.
  defp host?({host, port}), do: is_integer(port) and port in 1..65_535 and text?(host)
  defp host?(host), do: text?(host)

  defp text?(text), do: is_binary(text) and text =~ ~r/\A[A-Za-z0-9._:\[\]-]+\z/

  @doc false
  def credentials?({:bearer, token}), do: string?(token)
  def credentials?({user, password}), do: string?(user) and is_binary(password) and String.valid?(password)
  def credentials?(_other), do: false

  defp string?(text), do: is_binary(text) and text != "" and String.valid?(text)
end
