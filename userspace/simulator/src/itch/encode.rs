//! The bytes of a message.

use super::{Body, Message};

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
            Self::TradingAction { stock, trading_state, reason } => {
                out.extend(stock);
                out.extend([trading_state, b' ']);
                out.extend(reason);
            }
            Self::DeclineLevels { levels } => {
                out.extend(levels.iter().flat_map(|level| level.to_be_bytes()));
            }
            Self::DeclineBreach { level } => out.push(level),
            Self::AuctionCollar { stock, reference_price, upper_price, lower_price, extension } => {
                out.extend(stock);
                for field in [reference_price, upper_price, lower_price, extension] {
                    out.extend(field.to_be_bytes());
                }
            }
            Self::BrokenTrade { match_number } => out.extend(match_number.to_be_bytes()),
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
