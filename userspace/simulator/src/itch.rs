//! ITCH 5.0 messages: what is meant, and its bytes.
//!
//! Written out field by field from *Nasdaq TotalView-ITCH 5.0*, section 4 ("Message Formats"),
//! not through the wire views that are tested with it. Numbers are big-endian, prices have four
//! decimals, text is padded with spaces.

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
        /// `O` at the open, `C` at the close.
        cross_type: u8,
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
        /// `O` at the open, `C` at the close.
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
            Self::Add { mpid: None, .. } => b'A',
            Self::Add { mpid: Some(_), .. } => b'F',
            Self::Execute { .. } => b'E',
            Self::ExecuteWithPrice { .. } => b'C',
            Self::Cancel { .. } => b'X',
            Self::Delete { .. } => b'D',
            Self::Replace { .. } => b'U',
            Self::Trade { .. } => b'P',
            Self::CrossTrade { .. } => b'Q',
            Self::Imbalance { .. } => b'I',
        }
    }
}

impl Message {
    /// Appends the message's bytes to `out`: from 12 to 50 of them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.body.kind());
        out.extend(self.stock_locate.to_be_bytes());
        out.extend([0, 0]);
        out.extend(&self.timestamp_ns.to_be_bytes()[2..]);
        self.body.encode(out);
    }
}

impl Body {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::SystemEvent { event_code } => out.push(event_code),
            Self::StockDirectory { stock } => {
                out.extend(stock);
                // Global Select, no deficiency, lots of 100, common stock, live, tier 1, no ETP.
                out.extend(b"QN");
                out.extend(100u32.to_be_bytes());
                out.extend(b"NCZ PN 1N");
                out.extend(0u32.to_be_bytes());
                out.extend(b"N");
            }
            Self::TradingAction { stock, trading_state } => {
                out.extend(stock);
                out.extend([trading_state, b' ']);
                out.extend(b"    ");
            }
            Self::Add { reference, side, shares, stock, price, mpid } => {
                out.extend(reference.to_be_bytes());
                out.push(side.code());
                out.extend(shares.to_be_bytes());
                out.extend(stock);
                out.extend(price.to_be_bytes());
                out.extend(mpid.iter().flatten());
            }
            Self::Execute { reference, shares, match_number } => {
                out.extend(reference.to_be_bytes());
                out.extend(shares.to_be_bytes());
                out.extend(match_number.to_be_bytes());
            }
            Self::ExecuteWithPrice { reference, shares, match_number, printable, price } => {
                out.extend(reference.to_be_bytes());
                out.extend(shares.to_be_bytes());
                out.extend(match_number.to_be_bytes());
                out.push(if printable { b'Y' } else { b'N' });
                out.extend(price.to_be_bytes());
            }
            Self::Cancel { reference, shares } => {
                out.extend(reference.to_be_bytes());
                out.extend(shares.to_be_bytes());
            }
            Self::Delete { reference } => out.extend(reference.to_be_bytes()),
            Self::Replace { reference, new_reference, shares, price } => {
                out.extend(reference.to_be_bytes());
                out.extend(new_reference.to_be_bytes());
                out.extend(shares.to_be_bytes());
                out.extend(price.to_be_bytes());
            }
            Self::Trade { .. } | Self::CrossTrade { .. } | Self::Imbalance { .. } => {
                self.encode_auction_or_trade(out);
            }
        }
    }

    fn encode_auction_or_trade(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Trade { shares, stock, price, match_number } => {
                // The specification has order 0 and side B in every such message since 2014.
                out.extend(0u64.to_be_bytes());
                out.push(b'B');
                out.extend(shares.to_be_bytes());
                out.extend(stock);
                out.extend(price.to_be_bytes());
                out.extend(match_number.to_be_bytes());
            }
            Self::CrossTrade { shares, stock, price, match_number, cross_type } => {
                out.extend(shares.to_be_bytes());
                out.extend(stock);
                out.extend(price.to_be_bytes());
                out.extend(match_number.to_be_bytes());
                out.push(cross_type);
            }
            Self::Imbalance {
                paired_shares,
                imbalance_shares,
                direction,
                stock,
                far_price,
                near_price,
                reference_price,
                cross_type,
            } => {
                out.extend(paired_shares.to_be_bytes());
                out.extend(imbalance_shares.to_be_bytes());
                out.push(direction);
                out.extend(stock);
                out.extend(far_price.to_be_bytes());
                out.extend(near_price.to_be_bytes());
                out.extend(reference_price.to_be_bytes());
                out.extend([cross_type, b'L']);
            }
            _ => {}
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
