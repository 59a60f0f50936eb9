//! ITCH 5.0 messages: what is meant, and its bytes.
//!
//! Written out field by field from *Nasdaq TotalView-ITCH 5.0*, section 4 ("Message Formats"),
//! not through the wire views that are tested with it. Numbers are big-endian, prices have four
//! decimals, text is padded with spaces.

mod encode;

/// One message and when it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Nanoseconds since midnight.
    pub timestamp_ns: u64,
    /// The instrument's number; 0 for the market.
    pub stock_locate: u16,
    /// What is said.
    pub body: Body,
}

/// Side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `B`
    Buy,
    /// `S`
    Sell,
}

/// What a message says. Prices are in 1/10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `S`: a phase of the day.
    SystemEvent {
        /// `O`, `S`, `Q`, `M`, `E` or `C`.
        event_code: u8,
    },
    /// `R`: an instrument.
    StockDirectory {
        /// Its symbol.
        stock: [u8; 8],
    },
    /// `H`: an instrument's trading state.
    TradingAction {
        /// Its symbol.
        stock: [u8; 8],
        /// `H`, `P`, `Q` or `T`.
        trading_state: u8,
        /// Why; blank where nothing is to be said.
        reason: [u8; 4],
    },
    /// `V`: how far the market may fall before it is halted. Prices are in 1e-8.
    DeclineLevels {
        /// Levels 1, 2 and 3.
        levels: [u64; 3],
    },
    /// `W`: the market fell through a level.
    DeclineBreach {
        /// `1`, `2` or `3`.
        level: u8,
    },
    /// `J`: between which prices the auction after a volatility pause must clear.
    AuctionCollar {
        /// Its symbol.
        stock: [u8; 8],
        /// Price from which the collars are counted.
        reference_price: u32,
        /// Highest price.
        upper_price: u32,
        /// Lowest price.
        lower_price: u32,
        /// How often the auction was put off.
        extension: u32,
    },
    /// `A`, or `F` with a market participant.
    Add {
        /// The new order.
        reference: u64,
        /// Its side.
        side: Side,
        /// Its size.
        shares: u32,
        /// The symbol.
        stock: [u8; 8],
        /// Its price.
        price: u32,
        /// Whose it is, where that is told.
        mpid: Option<[u8; 4]>,
    },
    /// `E`: a resting order traded at its price.
    Execute {
        /// The resting order.
        reference: u64,
        /// Executed size.
        shares: u32,
        /// Number of the match.
        match_number: u64,
    },
    /// `C`: a resting order traded at another price.
    ExecuteWithPrice {
        /// The resting order.
        reference: u64,
        /// Executed size.
        shares: u32,
        /// Number of the match.
        match_number: u64,
        /// False where another message reports the volume.
        printable: bool,
        /// Price of the match.
        price: u32,
    },
    /// `X`: an order lost size.
    Cancel {
        /// The order.
        reference: u64,
        /// Size taken away.
        shares: u32,
    },
    /// `D`: an order is gone.
    Delete {
        /// The order.
        reference: u64,
    },
    /// `U`: an order became another one of the same side.
    Replace {
        /// The order that is gone.
        reference: u64,
        /// The order that came.
        new_reference: u64,
        /// Its size.
        shares: u32,
        /// Its price.
        price: u32,
    },
    /// `P`: a match against an order that is not displayed.
    Trade {
        /// Size of the match.
        shares: u32,
        /// The symbol.
        stock: [u8; 8],
        /// Price of the match.
        price: u32,
        /// Number of the match.
        match_number: u64,
    },
    /// `Q`: the volume of an auction.
    CrossTrade {
        /// Size of the auction.
        shares: u64,
        /// The symbol.
        stock: [u8; 8],
        /// Price of the auction.
        price: u32,
        /// Number of the match.
        match_number: u64,
        /// `O` at the open, `C` at the close, `H` after a halt.
        cross_type: u8,
    },
    /// `B`: a match is undone; it changes no book.
    BrokenTrade {
        /// Number of the match.
        match_number: u64,
    },
    /// `I`: an auction's imbalance.
    Imbalance {
        /// Shares paired at the reference price.
        paired_shares: u64,
        /// Shares not paired.
        imbalance_shares: u64,
        /// `B`, `S`, `N` or `O`.
        direction: u8,
        /// The symbol.
        stock: [u8; 8],
        /// Hypothetical clearing price of auction orders.
        far_price: u32,
        /// The same with the continuous book.
        near_price: u32,
        /// Price at which the imbalance is stated.
        reference_price: u32,
        /// `O` at the open, `C` at the close, `H` after a halt.
        cross_type: u8,
    },
}

impl Body {
    /// The message's type byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::SystemEvent { .. } => b'S',
            Self::StockDirectory { .. } => b'R',
            Self::TradingAction { .. } => b'H',
            Self::DeclineLevels { .. } => b'V',
            Self::DeclineBreach { .. } => b'W',
            Self::AuctionCollar { .. } => b'J',
            Self::Add { mpid: None, .. } => b'A',
            Self::Add { mpid: Some(_), .. } => b'F',
            Self::Execute { .. } => b'E',
            Self::ExecuteWithPrice { .. } => b'C',
            Self::Cancel { .. } => b'X',
            Self::Delete { .. } => b'D',
            Self::Replace { .. } => b'U',
            Self::Trade { .. } => b'P',
            Self::CrossTrade { .. } => b'Q',
            Self::BrokenTrade { .. } => b'B',
            Self::Imbalance { .. } => b'I',
        }
    }
}

impl Side {
    /// `B` or `S`.
    pub fn code(self) -> u8 {
        match self {
            Self::Buy => b'B',
            Self::Sell => b'S',
        }
    }

    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}
